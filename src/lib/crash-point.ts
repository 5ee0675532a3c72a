/**
 * Places where a test may make this process die as if by `kill -9`, to prove that what is on disk then is still right.
 * Inert unless `LADING_CRASH_AT` names a point, as `name` (the first time it is reached) or `name:3` (the third).
 */
const [armed, count = '1'] = (process.env.LADING_CRASH_AT ?? '').split(':');
let left = Number(count);

export function crashPoint(name: string): void {
  if (armed !== name) return;
  left -= 1;
  if (left === 0) process.kill(process.pid, 'SIGKILL');
}
