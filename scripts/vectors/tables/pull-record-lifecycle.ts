import { PullTracker } from '../../../src/agent/index.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { verificationPolicy } from '../../../src/policy/index.ts';
import { mappings, recordOf, withRecords } from '../pull-record-parts.ts';
import { type Check, type Outcome, unknownKind, type VectorCase } from '../vector-table.ts';

export const check: Check = ({ initial, steps }) =>
  withRecords(async (records) => {
    const newTracker = () =>
      new PullTracker({ records, policy: verificationPolicy('NeverVerifyPreloadedImages'), clock: systemClock });
    let tracker = newTracker();
    for (const [image, count] of Object.entries<number>(initial.pullsInFlight)) {
      for (let pull = 0; pull < count; pull++) await tracker.recordIntent(image);
      await records.deleteIntent(image);
    }
    for (const image of initial.intents) await records.writeIntent(image);
    for (const record of initial.records) await records.writeRecord(recordOf(record));
    const writtenBefore = new Map((await records.records()).map((record) => [record.imageRef, record.lastUpdatedMs]));

    const outcomes: Outcome[] = [];
    for (const step of steps) {
      if (step.op === 'restart') tracker = newTracker();
      await runStep(tracker, step);
      const now = await records.records();
      const unchanged = now.filter(({ imageRef, lastUpdatedMs }) => writtenBefore.get(imageRef) === lastUpdatedMs);
      const asked: readonly string[] = step.expect.lastUpdatedUnchanged ?? [];
      outcomes.push({
        expected: step.expect,
        actual: {
          intents: await records.intents(),
          records: await mappings(records),
          pullsInFlight: Object.fromEntries(tracker.pullsInFlight),
          lastUpdatedUnchanged: asked.filter((ref) => unchanged.some(({ imageRef }) => imageRef === ref)),
        },
      });
    }
    return outcomes;
  });

async function runStep(tracker: PullTracker, step: VectorCase['step']): Promise<void> {
  switch (step.op) {
    case 'intent':
      return tracker.recordIntent(step.image);
    case 'pulled':
      return tracker.recordPulled(step.image, step.imageRef, step.credentials ?? {});
    case 'failed':
      return tracker.recordFailed(step.image);
    case 'restart':
      return tracker.start(step.runtimeImages);
    case 'prune':
      return tracker.prune(step.keep, Date.parse(step.before));
    default:
      return unknownKind(step.op);
  }
}
