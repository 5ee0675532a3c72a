import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { Agent, PullRecords } from '../../src/agent/index.ts';
import { processWithPid } from '../../src/lib/process-identity.ts';
import { FakeCri } from '../support/fake-cri.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { podOf } from './support.ts';

test('intents of another process that runs pods are left to it, those of one that is gone are ended', async () => {
  const directory = await temporaryFolder();
  const records = new PullRecords(directory);
  await records.open();
  await records.writeIntent('app:1');
  const other = spawn('sleep', ['60'], { stdio: 'ignore' });
  onTestFinished(() => void other.kill('SIGKILL'));
  await once(other, 'spawn');
  const agents = path.join(directory, 'image_manager', 'agents');
  await mkdir(agents);
  await writeFile(path.join(agents, `${other.pid}.json`), JSON.stringify(processWithPid(other.pid!)));

  const start = async () => {
    const clock = new VirtualClock();
    const cri = new FakeCri(clock);
    cri.node.set('app:1', { id: 'sha256:1' });
    const agent = new Agent({ images: cri, runtime: cri, clock, logRoot: directory, recordsDirectory: directory });
    const decided = Promise.withResolvers<void>();
    const pod = podOf([{ name: 'app', image: 'other', imagePullPolicy: 'Never' }], { restartPolicy: 'Never' });
    const worker = agent.startPod(pod);
    clock.settle = async () => {
      while (!worker.status().containerStatuses[0]!.state.waiting?.message) await new Promise(setImmediate);
      decided.resolve();
    };
    await clock.advance(1);
    await decided.promise;
    const intents = await records.intents();
    await agent.stop({ gracePeriodSeconds: 0 });
    return intents;
  };
  expect(await start()).toEqual(['app:1']);
  expect(await readdir(agents)).toEqual([`${other.pid}.json`]);
  other.kill('SIGKILL');
  await once(other, 'exit');
  expect(await start()).toEqual([]);
  expect(await readdir(agents)).toEqual([]);
});
