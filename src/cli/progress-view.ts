import type { PullProgress } from '../pull/index.ts';
import type { CopyProgress } from '../transfer/index.ts';
import { humanSize, shortDigest } from './human.ts';
import { progressLines, stateWords, totalText } from './progress-lines.ts';
import { ImageProgress, type LayerEvent } from './progress-model.ts';

/** Shows pulls and copies while they run; several at a time are told apart by name. */
export interface ProgressView {
  update(name: string, event: PullProgress | CopyProgress): void;
  /** Writes lines of something else, above what is drawn. */
  print(stream: Output, lines: string): void;
  /** One of them has ended: its last state stays, and it is not drawn any more. */
  finish(name: string): void;
  /** Leaves the last state on the screen. */
  close(): void;
}

interface Output {
  write(text: string): unknown;
}

/** Ten pictures a second look continuous and cost nearly nothing. */
const refreshMs = 100;
/** How often a long download says that it goes on where nothing is drawn. */
const plainReportMs = 15_000;

export interface ProgressViewOptions {
  /** Plain lines also on a terminal, because other lines come between them. */
  readonly plain?: boolean;
}

/** Lines that change in place on a terminal, plain lines elsewhere. */
export async function openProgressView(
  stream: NodeJS.WriteStream,
  { plain = false }: ProgressViewOptions = {},
): Promise<ProgressView> {
  // Some terminals of other programs are 0 columns wide: their size is not known.
  const canDraw = stream.isTTY && stream.columns > 0 && stream.rows > 0 && process.env.TERM !== 'dumb';
  if (plain || !canDraw) return plainView(stream);
  const { createLogUpdate } = await import('log-update');
  return liveView(stream, createLogUpdate(stream));
}

interface Drawing {
  (text: string): void;
  clear(): void;
  done(): void;
}

function liveView(stream: NodeJS.WriteStream, screen: Drawing): ProgressView {
  const images = new Map<string, ImageProgress>();
  let changed = false;
  const draw = () => {
    if (!changed) return;
    changed = [...images.values()].some((image) => image.fetched().bytes < image.fetched().ofBytes);
    screen(progressLines(images.values(), stream, Date.now()).join('\n'));
  };
  const above = (output: Output, lines: string) => {
    screen.clear();
    output.write(lines);
    // Gives the cursor back while nothing is drawn.
    if (images.size === 0) return screen.done();
    changed = true;
    draw();
  };
  const timer = setInterval(draw, refreshMs).unref();
  return {
    update(name, event) {
      if (!isLayerProgress(event)) return;
      imageIn(images, name).update(event, Date.now());
      changed = true;
    },
    print: above,
    finish(name) {
      const image = images.get(name);
      if (!image) return;
      images.delete(name);
      above(stream, `${progressLines([image], stream, Date.now()).join('\n')}\n`);
    },
    close() {
      clearInterval(timer);
      draw();
      screen.done();
    },
  };
}

/** A line whenever a layer comes to another state, and now and then during a long download. */
export function plainView(stream: Output): ProgressView {
  const images = new Map<string, ImageProgress>();
  const say = (name: string, layer: string, text: string) => stream.write(`${name}  ${shortDigest(layer)}  ${text}\n`);
  const timer = setInterval(() => {
    for (const image of images.values()) {
      const total = totalText(image, Date.now());
      if (total !== undefined) stream.write(`${image.name}  ${total}\n`);
    }
  }, plainReportMs).unref();
  return {
    update(name, event) {
      if (!isLayerProgress(event)) return;
      const isNews = imageIn(images, name).update(event, Date.now());
      if (isNews && event.state !== 'waiting')
        say(name, event.layer, `${stateWords[event.state]}  ${humanSize(event.size)}`);
    },
    print(output, lines) {
      output.write(lines);
    },
    finish(name) {
      images.delete(name);
    },
    close() {
      clearInterval(timer);
    },
  };
}

function isLayerProgress(event: PullProgress | CopyProgress): event is LayerEvent {
  return 'layer' in event;
}

function imageIn(images: Map<string, ImageProgress>, name: string): ImageProgress {
  const image = images.get(name) ?? new ImageProgress(name);
  images.set(name, image);
  return image;
}
