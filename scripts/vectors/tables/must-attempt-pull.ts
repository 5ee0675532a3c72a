import { PullTracker } from '../../../src/agent/index.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { errorMessage } from '../../../src/lib/errors.ts';
import { verificationPolicy } from '../../../src/policy/index.ts';
import { corruptRecord, mappings, recordOf, withRecords } from '../pull-record-parts.ts';
import type { Check } from '../vector-table.ts';

export const check: Check = ({ input }) =>
  withRecords(async (records, directory) => {
    const policy = verificationPolicy(input.policy, input.allowlist);
    const tracker = new PullTracker({ records, policy, clock: systemClock });
    for (const record of input.records) await records.writeRecord(recordOf(record));
    for (const imageRef of input.corruptRecords) await corruptRecord(records, directory, imageRef);
    for (const [image, count] of Object.entries<number>(input.pullsInFlight)) {
      for (let pull = 0; pull < count; pull++) await tracker.recordIntent(image);
      await records.deleteIntent(image);
    }
    for (const image of input.intents) await records.writeIntent(image);

    const before = JSON.stringify(await records.records());
    let podCredentialsLookedUp = false;
    const podCredentials = () => {
      podCredentialsLookedUp = true;
      if (input.podCredentialsError) throw new Error(input.podCredentialsError);
      return { secrets: input.podSecrets, serviceAccount: input.podServiceAccount ?? undefined };
    };
    const answer = await tracker.mustAttemptPull(input.image, input.imageRef, podCredentials);
    const recordWritten = JSON.stringify(await records.records()) !== before;
    return {
      actual: {
        ...answer,
        error: answer.error === undefined ? null : errorMessage(answer.error),
        podCredentialsLookedUp,
        recordWritten,
        credentialsAfter: recordWritten ? (await mappings(records))[input.imageRef] : null,
      },
    };
  });
