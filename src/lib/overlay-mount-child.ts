import { mount } from './libc.ts';

/** Run as a process of its own by `overlay-mount.ts`: mounts an overlay with options relative to the working directory. */
const [target, options] = process.argv.slice(2);
try {
  mount('overlay', target!, 'overlay', 0, options!);
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
}
