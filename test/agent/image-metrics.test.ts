import { expect, test } from 'vitest';
import { Agent, ImageCollector, ImageMetrics } from '../../src/agent/index.ts';
import { defaultImageGcPolicy } from '../../src/policy/index.ts';
import { FakeCri } from '../support/fake-cri.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { podOf } from './support.ts';

test('evaluations, checks of credentials and records of an agent are counted under the names of the kubelet', async () => {
  const clock = new VirtualClock();
  const cri = new FakeCri(clock);
  cri.hasEvents = true;
  cri.registry.set('app:1', { id: 'sha256:app', size: 20 * 1024 ** 2 });
  cri.behaviour = () => ({ exitAfterMs: 0 });
  const directory = await temporaryFolder();
  const agent = new Agent({ images: cri, runtime: cri, clock, logRoot: directory, recordsDirectory: directory });
  for (const name of ['a', 'b']) {
    const pod = podOf([{ name: 'app', image: 'app:1' }], { restartPolicy: 'Never' }, name);
    await agent.startPod(pod).finished;
  }
  const text = await agent.metricsText();
  await agent.stop();
  expect(text.split('\n').filter((line) => !line.includes('_bucket'))).toEqual([
    '# TYPE kubelet_image_manager_ensure_image_requests_total counter',
    'kubelet_image_manager_ensure_image_requests_total{pull_policy="ifnotpresent",present_locally="false",pull_required="true"} 1',
    'kubelet_image_manager_ensure_image_requests_total{pull_policy="ifnotpresent",present_locally="true",pull_required="false"} 1',
    '# TYPE kubelet_imagemanager_image_mustpull_checks_total counter',
    'kubelet_imagemanager_image_mustpull_checks_total{result="credentialRecordFound"} 1',
    '# TYPE kubelet_image_garbage_collected_total counter',
    '# TYPE kubelet_image_pull_duration_seconds histogram',
    'kubelet_image_pull_duration_seconds_sum{image_size_in_bytes="10MB-100MB"} 0',
    'kubelet_image_pull_duration_seconds_count{image_size_in_bytes="10MB-100MB"} 1',
    '# TYPE kubelet_imagemanager_ondisk_pullintents gauge',
    'kubelet_imagemanager_ondisk_pullintents 0',
    '# TYPE kubelet_imagemanager_ondisk_pulledrecords gauge',
    'kubelet_imagemanager_ondisk_pulledrecords 1',
    '',
  ]);
});

test('pulls are counted by size and time, collected images by reason', async () => {
  const metrics = new ImageMetrics();
  metrics.pulled(10 * 1024 ** 2, 1000);
  metrics.pulled(10 * 1024 ** 2 + 1, 4001);
  metrics.pulled(0, 7_200_000);
  const pulls = 'kubelet_image_pull_duration_seconds';
  const text = metrics.text();
  expect(text).toContain(`${pulls}_bucket{image_size_in_bytes="0-10MB",le="1"} 1\n`);
  expect(text).toContain(`${pulls}_bucket{image_size_in_bytes="10MB-100MB",le="1"} 0\n`);
  expect(text).toContain(`${pulls}_bucket{image_size_in_bytes="10MB-100MB",le="5"} 1\n`);
  expect(text).toContain(`${pulls}_bucket{image_size_in_bytes="N/A",le="3600"} 0\n`);
  expect(text).toContain(`${pulls}_bucket{image_size_in_bytes="N/A",le="+Inf"} 1\n`);
  expect(text).not.toContain('ondisk');

  const clock = new VirtualClock();
  const cri = new FakeCri(clock);
  cri.node.set('a', { id: 'a', size: 10 });
  const policy = { ...defaultImageGcPolicy, minAgeMs: 0 };
  const diskStats = async () => ({ capacityBytes: 100, availableBytes: 15 });
  await new ImageCollector({ images: cri, runtime: cri, clock, policy, metrics, diskStats }).collect();
  expect(metrics.text()).toContain('kubelet_image_garbage_collected_total{reason="space"} 1\n');
});
