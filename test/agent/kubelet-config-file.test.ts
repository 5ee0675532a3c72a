import { expect, test } from 'vitest';
import { kubeletConfigOf, readKubeletConfiguration } from '../../src/agent/index.ts';

// Defaults and validation are in the vector table kubelet-config.

const head = 'apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n';
const parse = (body: string) =>
  kubeletConfigOf(readKubeletConfiguration(head + body, { file: 'kubelet.yaml' }), { source: 'kubelet.yaml' });

test('settings are read under their names, others are left alone', () => {
  const config = parse(`
cgroupDriver: systemd
maxParallelImagePulls: 5
imageMinimumGCAge: 5m
imageMaximumGCAge: 24h0m0s
crashLoopBackOff: { maxContainerRestartPeriod: 20s }
imagePullCredentialsVerificationPolicy: NeverVerifyAllowlistedImages
preloadedImagesVerificationAllowlist: ['registry.example/base/*']
`);
  expect(config).toMatchObject({
    serializeImagePulls: false,
    maxParallelImagePulls: 5,
    imageMinimumGCAgeMs: 300_000,
    imageMaximumGCAgeMs: 86_400_000,
    crashLoopBackOffMaxMs: 20_000,
    imagePullCredentialsVerificationPolicy: 'NeverVerifyAllowlistedImages',
    preloadedImagesVerificationAllowlist: ['registry.example/base/*'],
    registryPullQPS: 5,
  });
});

test('every problem is named', () => {
  const body = 'registryPullQPS: fast\nimageMinimumGCAge: 5\nimageGCHighThresholdPercent: 101\n';
  expect(() => parse(body)).toThrow(
    /registryPullQPS: expected a whole number, found "fast"; imageMinimumGCAge: .*; invalid configuration: imageGCHigh/,
  );
});

test('other documents are refused', () => {
  const read = (text: string) => () => readKubeletConfiguration(text, { file: 'pod.yaml' });
  expect(read('kind: Pod')).toThrow('pod.yaml is no KubeletConfiguration');
  expect(read('a: [')).toThrow('pod.yaml is not YAML');
});
