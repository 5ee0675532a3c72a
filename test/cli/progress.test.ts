import { expect, test } from 'vitest';
import { progressLines } from '../../src/cli/progress-lines.ts';
import { ImageProgress, type LayerEvent, RateMeter } from '../../src/cli/progress-model.ts';
import { openProgressView, plainView } from '../../src/cli/progress-view.ts';
import { type Digest, digestOf } from '../../src/oci/digest.ts';

const name = 'docker.io/library/nginx:1.27';
const wide = { columns: 100, rows: 24 };
const [a, b, c, d, e] = ['a', 'b', 'c', 'd', 'e'].map((hex) => `sha256:${hex.repeat(64)}` as Digest) as [
  Digest,
  Digest,
  Digest,
  Digest,
  Digest,
];

function layer(digest: Digest, state: LayerEvent['state'], size: number, bytes = 0): LayerEvent {
  return { layer: digest, size, state, bytes } as LayerEvent;
}

test('a line per layer, with bytes and rate while it is downloaded, and a total', () => {
  const image = new ImageProgress(name);
  image.update(layer(a, 'exists', 30_000_000), 0);
  for (const digest of [b, c, d, e]) image.update(layer(digest, 'waiting', 10_000_000), 0);
  image.update(layer(b, 'downloading', 10_000_000, 0), 0);
  image.update(layer(b, 'downloading', 10_000_000, 2_500_000), 1000);
  image.update(layer(c, 'verifying', 10_000_000, 10_000_000), 1000);
  image.update(layer(d, 'unpacking', 10_000_000, 5_000_000), 1000);
  expect(progressLines([image], wide, 1000)).toEqual([
    name,
    '  aaaaaaaaaaaa  already there  30MB',
    '  bbbbbbbbbbbb  downloading    [======>                       ]       2.5MB/10MB  2.5MB/s',
    '  cccccccccccc  verifying      10MB',
    '  dddddddddddd  unpacking      [==============>               ]         5MB/10MB',
    '  eeeeeeeeeeee  waiting        10MB',
    '  22.5MB of 40MB, 2.5MB/s, 7s left',
  ]);
});

test('the total goes when everything is here', () => {
  const image = new ImageProgress(name);
  image.update(layer(a, 'downloading', 1000, 10), 0);
  image.update(layer(a, 'done', 1000, 1000), 10);
  image.update(layer(b, 'exists', 1000), 10);
  expect(progressLines([image], wide, 20)).toEqual([
    name,
    '  aaaaaaaaaaaa  done           1kB',
    '  bbbbbbbbbbbb  already there  1kB',
  ]);
});

test('narrow terminals get no bar, and no line is wider than the terminal', () => {
  const image = new ImageProgress('img1:1');
  image.update(layer(a, 'downloading', 100_000_000, 0), 0);
  image.update(layer(a, 'downloading', 100_000_000, 12_300_000), 1000);
  expect(progressLines([image], { columns: 60, rows: 24 }, 1000)[1]).toBe(
    '  aaaaaaaaaaaa  downloading    12.3MB/100MB  12.3MB/s',
  );
  expect(progressLines([image], { columns: 40, rows: 24 }, 1000)[1]).toBe('  aaaaaaaaaaaa  downloading    12%');
  for (let columns = 40; columns < 160; columns += 1) {
    expect(progressLines([image], { columns, rows: 24 }, 1000)[1]!.length).toBeLessThan(columns);
  }
});

test('finished layers share a line where the terminal is short', () => {
  const image = new ImageProgress(name);
  for (let index = 0; index < 40; index += 1) {
    image.update(layer(digestOf(`${index}`), index < 25 ? 'exists' : 'done', 1000), 0);
  }
  image.update(layer(a, 'waiting', 1000), 0);
  expect(progressLines([image], { columns: 80, rows: 10 }, 0)).toEqual([
    name,
    '  aaaaaaaaaaaa  waiting        1kB',
    '  15kB of 16kB',
    '  40 layers finished, 25 of them already there',
  ]);
});

test('more unfinished layers than rows: the last ones are shown', () => {
  const image = new ImageProgress(name);
  for (let index = 0; index < 40; index += 1) image.update(layer(digestOf(`${index}`), 'waiting', 1000), 0);
  expect(progressLines([image], { columns: 80, rows: 10 }, 0)).toHaveLength(9);
});

test('the rate is that of the last seconds, and falls when nothing comes', () => {
  const meter = new RateMeter();
  expect(meter.bytesPerSecond(0)).toBeUndefined();
  for (let second = 0; second <= 10; second += 1)
    meter.add(second < 6 ? second * 1000 : 5000 + (second - 5) * 100, second * 1000);
  expect(meter.bytesPerSecond(10_000)).toBe(100);
  expect(meter.bytesPerSecond(17_000)).toBe(30);
});

test('a rate of chunks that come every millisecond is that of all of them', () => {
  const meter = new RateMeter();
  for (let atMs = 0; atMs <= 5000; atMs += 1) meter.add(atMs * 1000, atMs);
  expect(meter.bytesPerSecond(5000)).toBe(1_000_000);
});

test('without a terminal there is a plain line for each change of state', async () => {
  let written = '';
  const view = await openProgressView({ write: (text: string) => (written += text) } as unknown as NodeJS.WriteStream);
  view.update(name, layer(a, 'exists', 30_000_000));
  view.update(name, layer(b, 'waiting', 10_000_000));
  for (const bytes of [0, 1000, 2000]) view.update(name, layer(b, 'downloading', 10_000_000, bytes));
  view.update(name, layer(b, 'verifying', 10_000_000));
  view.update(name, layer(b, 'unpacking', 10_000_000));
  view.update(name, layer(b, 'done', 10_000_000));
  view.close();
  expect(written).toBe(
    [
      `${name}  aaaaaaaaaaaa  already there  30MB`,
      `${name}  bbbbbbbbbbbb  downloading  10MB`,
      `${name}  bbbbbbbbbbbb  verifying  10MB`,
      `${name}  bbbbbbbbbbbb  unpacking  10MB`,
      `${name}  bbbbbbbbbbbb  done  10MB`,
      '',
    ].join('\n'),
  );
});

/** A terminal that keeps what is on it, as far as log-update needs one: lines, and erasing upwards. */
class Terminal {
  readonly isTTY = true;
  readonly columns = 100;
  readonly rows = 24;
  #lines = [''];
  #row = 0;

  write(text: string): boolean {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what a terminal obeys
    for (const [token] of text.matchAll(/\u001b\[[?]?[0-9;]*[A-Za-z]|\n|[^\u001b\n]+/g)) this.#obey(token);
    return true;
  }

  #obey(token: string): void {
    const [, count = '1', letter] = /^.\[[?]?(\d*)\S*([A-Za-z])$/.exec(token) ?? [];
    if (token === '\n') this.#row += 1;
    else if (letter === 'A') this.#row -= Number(count || 1);
    else if (letter === 'B') this.#row += Number(count || 1);
    else if (letter === 'K') this.#lines[this.#row] = '';
    else if (letter === 'J') this.#lines.length = this.#row + 1;
    else if (letter === undefined) this.#lines[this.#row] = (this.#lines[this.#row] ?? '') + token;
    this.#lines[this.#row] ??= '';
  }

  get screen(): string[] {
    return this.#lines.map((line) => line ?? '').filter((line) => line !== '');
  }
}

test('other lines are written above what is drawn, and what has ended stays', async () => {
  const terminal = new Terminal();
  const view = await openProgressView(terminal as unknown as NodeJS.WriteStream);
  view.update('web  app:1', layer(a, 'done', 1000, 1000));
  view.update('other  app:2', layer(b, 'waiting', 2000));
  view.print(terminal, 'web/main  Started\n');
  const other = ['other  app:2', '  bbbbbbbbbbbb  waiting        2kB', '  0B of 2kB'];
  const web = ['web  app:1', '  aaaaaaaaaaaa  done           1kB'];
  expect(terminal.screen).toEqual(['web/main  Started', ...web, ...other]);
  view.finish('web  app:1');
  view.print(terminal, '[web/main] hello\n');
  expect(terminal.screen).toEqual(['web/main  Started', ...web, '[web/main] hello', ...other]);
  view.close();
  expect(terminal.screen).toEqual(['web/main  Started', ...web, '[web/main] hello', ...other]);
});

test('plain lines contain nothing that a terminal would obey', () => {
  const written: string[] = [];
  const view = plainView({ write: (text: string) => written.push(text) });
  view.update(name, layer(a, 'downloading', 1));
  view.close();
  expect(written.join('')).toMatch(/^[\x20-\x7e\n]*$/);
});
