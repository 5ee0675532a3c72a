import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, lstatSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import { expect, onTestFinished, test } from 'vitest';
import { mount, umount2, unmountFlags } from '../../src/lib/libc.ts';
import { fileOutput } from '../../src/transfer/index.ts';
import { rootMissing } from '../support/root.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

test('a file keeps its content until the new one is complete', async () => {
  const folder = await temporaryFolder();
  const file = path.join(folder, 'x.tar');
  writeFileSync(file, 'before');
  symlinkSync('x.tar', path.join(folder, 'link'));
  const given = await fileOutput(path.join(folder, 'link'));
  await given.write(Buffer.from('after'));
  expect(readFileSync(file, 'utf8')).toBe('before');
  await given.commit();
  await given.close();
  expect(readFileSync(file, 'utf8')).toBe('after');
  const dropped = await fileOutput(file);
  await dropped.write(Buffer.from('never'));
  await dropped.close();
  expect(readFileSync(file, 'utf8')).toBe('after');
  expect(await readdir(folder)).toEqual(['link', 'x.tar']);
  expect(lstatSync(path.join(folder, 'link')).isSymbolicLink()).toBe(true);
});

test('a pipe is written to and stays a pipe', async () => {
  const pipe = path.join(await temporaryFolder(), 'pipe');
  execFileSync('mkfifo', [pipe]);
  const reader = spawn('cat', [pipe], { stdio: ['ignore', 'pipe', 'ignore'] });
  onTestFinished(() => void reader.kill());
  const ended = Promise.all([buffer(reader.stdout), once(reader, 'exit')]);
  const output = await fileOutput(pipe);
  await output.write(Buffer.from('content'));
  await output.commit();
  await output.close();
  const [content] = await ended;
  expect(content.toString()).toBe('content');
  expect(lstatSync(pipe).isFIFO()).toBe(true);
});

test('what cannot be written is named', async () => {
  const folder = await temporaryFolder();
  const code = 'ERR_LADING_FILE_UNWRITABLE';
  await expect(fileOutput(folder)).rejects.toMatchObject({ code, message: `cannot write ${folder}: it is a folder` });
  await expect(fileOutput(path.join(folder, 'no/x'))).rejects.toMatchObject({ code });
});

test.skipIf(!existsSync('/dev/full'))('a device that takes nothing is named', async () => {
  const full = await fileOutput('/dev/full');
  onTestFinished(() => full.close());
  await expect(full.write(Buffer.from('x'))).rejects.toMatchObject({
    code: 'ERR_LADING_FILE_UNWRITABLE',
    message: expect.stringMatching(/^cannot write \/dev\/full: ENOSPC/),
  });
});

test.skipIf(rootMissing ?? process.platform !== 'linux')('a disk that is full is named', async () => {
  const disk = await temporaryFolder();
  mount('tmpfs', disk, 'tmpfs', 0, 'size=64k');
  onTestFinished(() => umount2(disk, unmountFlags.detach));
  const output = await fileOutput(path.join(disk, 'x.tar'));
  await expect(output.write(Buffer.alloc(100_000))).rejects.toMatchObject({
    code: 'ERR_LADING_DISK_FULL',
    message: expect.stringMatching(/^cannot write \S+x.tar: no room on the disk of \S+, 0B and \d+ inodes are free$/),
    data: { path: disk },
  });
  await output.close();
  expect(await readdir(disk)).toEqual([]);
});
