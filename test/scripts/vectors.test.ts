import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { difference } from '../../scripts/vectors/compare.ts';

const script = fileURLToPath(new URL('../../scripts/vectors.ts', import.meta.url));

describe('npm run vectors', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'lading-vectors-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  function table(file: string, document: unknown): void {
    writeFileSync(join(folder, file), typeof document === 'string' ? document : JSON.stringify(document));
  }

  function run(...args: string[]) {
    const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], {
      encoding: 'utf8',
      timeout: 30_000,
    });
    return { status, stdout, stderr, lastLine: stdout.trimEnd().split('\n').at(-1) };
  }

  const defaulting = (policy: string) => ({
    id: `x-${policy}`,
    input: { kind: 'container', image: 'app', explicitPolicy: '' },
    expect: { policy },
  });

  test('counts passed and skipped cases and names tables that nothing implements', () => {
    table('a.json', { table: 'default-pull-policy', cases: [defaulting('Always')] });
    table('b.json', {
      name: 'not-yet',
      cases: [
        { id: 'n-1', expect: {} },
        { id: 'n-2', expect: {} },
      ],
    });
    const { status, stdout, lastLine } = run(folder);
    expect(lastLine).toBe('1 passed, 0 failed, 2 skipped');
    expect(stdout).toContain('Nothing implements these tables yet: not-yet');
    expect(status).toBe(0);
  });

  test('reports a failing case with id, expectation and result, and fails', () => {
    table('a.json', { table: 'default-pull-policy', cases: [defaulting('Never'), defaulting('Always')] });
    const { status, stdout, lastLine } = run(folder);
    expect(stdout).toMatch(/x-Never.*policy should be "Never", but is "Always"/);
    expect(stdout).toContain('expected {"policy":"Never"}');
    expect(stdout).toContain('actual   {"policy":"Always"}');
    expect(lastLine).toBe('1 passed, 1 failed, 0 skipped');
    expect(status).toBe(1);
  });

  test('a kind of case that a known table does not have is a failure', () => {
    table('a.json', { name: 'platform-match', cases: [{ id: 'p-1', kind: 'guess', expect: {} }] });
    table('b.json', {
      table: 'backoff',
      cases: [{ id: 'b-1', config: { initialMs: 1, maxMs: 2, expiry: { kind: 'moonPhase' } }, steps: [] }],
    });
    const { status, stdout, lastLine } = run(folder);
    expect(stdout).toMatch(/p-1: it could not be run: .*this kind of case/);
    expect(stdout).toContain('"guess"');
    expect(stdout).toContain('"moonPhase"');
    expect(lastLine).toBe('0 passed, 2 failed, 0 skipped');
    expect(status).toBe(1);
  });

  test('a case without an expectation is a failure', () => {
    table('a.json', { table: 'default-pull-policy', cases: [{ ...defaulting('Always'), expect: undefined }] });
    expect(run(folder).lastLine).toBe('0 passed, 1 failed, 0 skipped');
  });

  test.each([
    ['a folder without tables', () => {}, /contains no vector tables/],
    ['a file that is not JSON', () => table('a.json', '{'), /a\.json is not JSON/],
  ])('%s is an error of its own', (_, prepare, message) => {
    prepare();
    const { status, stderr } = run(folder);
    expect(stderr).toMatch(message);
    expect(status).toBe(2);
  });

  test('a file that is something else is named', () => {
    table('a.json', { rows: [] });
    table('b.json', { table: 'default-pull-policy', cases: [defaulting('Always')] });
    const { status, stdout, lastLine } = run(folder);
    expect(stdout).toContain('No vector tables: a.json');
    expect([status, lastLine]).toEqual([0, '1 passed, 0 failed, 0 skipped']);
  });

  test('so are a folder that does not exist and a second folder', () => {
    expect(run(join(folder, 'none'))).toMatchObject({ status: 2, stderr: expect.stringContaining('ENOENT') });
    expect(run(folder, folder)).toMatchObject({ status: 2, stderr: expect.stringContaining('at most one folder') });
  });
});

describe('comparison', () => {
  test('members that the outermost expectation does not name are not asserted', () => {
    expect(difference({ a: 1 }, { a: 1, b: 2 })).toBeUndefined();
    expect(difference({ a: 1 }, { b: 2 })).toBe('a should be 1, but is absent');
  });

  test('inner objects are compared whole, without regard to the order of members', () => {
    expect(difference({ a: { x: 1, y: 2 } }, { a: { y: 2, x: 1 } })).toBeUndefined();
    expect(difference({ a: { x: 1 } }, { a: { x: 1, y: 2 } })).toBe('a.y should be absent, but is 2');
  });

  test('null asserts absence', () => {
    expect(difference({ a: null }, {})).toBeUndefined();
    expect(difference({ a: null }, { a: 0 })).toBe('a should be null, but is 0');
  });

  test('lists are compared in order', () => {
    expect(difference({ a: [1, 2] }, { a: [1, 2] })).toBeUndefined();
    expect(difference({ a: [1, 2] }, { a: [2, 1] })).toBe('a[0] should be 1, but is 2');
    expect(difference({ a: [1] }, { a: [1, 2] })).toMatch(/^a should be/);
  });

  test('texts can be compared in part or by pattern, at any depth', () => {
    expect(difference({ errorContains: 'b' }, { error: 'abc' })).toBeUndefined();
    expect(difference({ errorContains: 'x' }, { error: 'abc' })).toMatch(/should contain "x"/);
    expect(difference({ errorContains: 'x' }, {})).toMatch(/but is absent/);
    expect(
      difference({ events: [{ type: 'N', messageRegex: 'a+' }] }, { events: [{ type: 'N', message: 'aa' }] }),
    ).toBeUndefined();
    expect(difference({ events: [{ messageRegex: 'a+' }] }, { events: [{ message: 'ba' }] })).toMatch(/should match/);
  });
});
