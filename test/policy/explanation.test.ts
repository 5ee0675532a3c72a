import { describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/index.ts';
import {
  explain,
  type NodeImageFacts,
  type NotAsked,
  type PullPolicy,
  type RegistryFacts,
} from '../../src/policy/index.ts';

const old = digestOf('old');
const moved = digestOf('moved');
const oldText = `${old.slice(0, 'sha256:'.length + 12)}…`;
const movedText = `${moved.slice(0, 'sha256:'.length + 12)}…`;
const name = 'docker.io/library/img1:latest';
const byDigest = `img1@${old}`;
const digestName = `docker.io/library/img1@${oldText}`;
const pulled = 'pulled 2026-08-01 12:00 UTC';

const complete: NodeImageFacts = {
  digest: old,
  imageId: digestOf('config'),
  pulledAt: '2026-08-01T12:00:33.123Z',
  checkedAt: '2026-08-03T09:10:00.000Z',
  layersUnpacked: 3,
  layersTotal: 3,
};
const incomplete: NodeImageFacts = { ...complete, layersUnpacked: 2 };

function says(digest: typeof old, layersToFetch = 0, bytesToFetch = 0): RegistryFacts {
  return { reachable: true, digest, responseMs: 23.4, layersToFetch, bytesToFetch };
}
const unreachable: RegistryFacts = {
  reachable: false,
  refused: false,
  reason: 'connect ECONNREFUSED 127.0.0.1:5000',
  code: 'ERR_TEST',
  hint: 'Start the registry.',
};
const notFound: RegistryFacts = { reachable: false, refused: true, reason: 'manifest unknown.', code: 'ERR_TEST' };
const denied: RegistryFacts = {
  reachable: false,
  refused: true,
  reason: 'access denied\n for  img1',
  code: 'ERR_TEST',
};
const notAsked: NotAsked = { asked: false };

interface Combination {
  readonly what: string;
  readonly image?: string;
  readonly node?: NodeImageFacts;
  readonly registry: RegistryFacts | NotAsked;
  readonly sentences: Readonly<Record<PullPolicy, string>>;
}

const held = `this node has ${oldText} under ${name} (${pulled}), so that runs`;
const ifNotPresentHeld = `IfNotPresent does not ask the registry: ${held}`;
const neverHeld = `With Never the registry is not asked: ${held}`;
const absent = `${name} is not on this node`;
const neverAbsent = `With Never the registry is not asked, and ${absent}, so the container does not start (ErrImageNeverPull).`;
const inPart = `${name} is on this node only in part (2 of 3 layers unpacked)`;
const neverInPart = `With Never the registry is not asked, and ${inPart}, so the container does not start (ErrImageNeverPull).`;
const cannot =
  'cannot be reached (connect ECONNREFUSED 127.0.0.1:5000), so the container does not start (RegistryUnavailable)';
const refuses = 'does not give the image (manifest unknown), so the container does not start (ErrImagePull)';
const unknown = 'was not asked for this explanation, so what would run is not known.';
const digestHeld = `this node has ${digestName} (${pulled}), so that runs; a digest always means the same bytes.`;
const neverDigestAbsent = `With Never the registry is not asked, and ${digestName} is not on this node, so the container does not start (ErrImageNeverPull).`;

const combinations: readonly Combination[] = [
  {
    what: 'node has it, registry says the same',
    node: complete,
    registry: says(old),
    sentences: {
      Always: `Always asks the registry, which says ${oldText}: that digest is on this node already, so nothing is downloaded and it starts.`,
      IfNotPresent: `${ifNotPresentHeld}, and the registry says the same digest now.`,
      Never: `${neverHeld}, and the registry says the same digest now.`,
    },
  },
  {
    what: 'node has it, registry says another digest',
    node: complete,
    registry: says(moved, 2, 45_600_000),
    sentences: {
      Always: `Always asks the registry, which says ${movedText}, not the ${oldText} that this node has: 2 layers (45.6MB) are downloaded and the registry's image starts.`,
      IfNotPresent: `${ifNotPresentHeld}, although the registry now says ${movedText}.`,
      Never: `${neverHeld}, although the registry now says ${movedText}.`,
    },
  },
  {
    what: 'node has it, registry says another digest of layers that are all here',
    node: complete,
    registry: says(moved, 0, 1500),
    sentences: {
      Always: `Always asks the registry, which says ${movedText}, not the ${oldText} that this node has: all its layers are here, so only metadata (1.5kB) is downloaded and the registry's image starts.`,
      IfNotPresent: `${ifNotPresentHeld}, although the registry now says ${movedText}.`,
      Never: `${neverHeld}, although the registry now says ${movedText}.`,
    },
  },
  {
    what: 'node has it, registry cannot be reached',
    node: complete,
    registry: unreachable,
    sentences: {
      Always: `Always asks the registry, which ${cannot}, although ${oldText} is on this node.`,
      IfNotPresent: `${ifNotPresentHeld}, even though the registry cannot be reached now.`,
      Never: `${neverHeld}, even though the registry cannot be reached now.`,
    },
  },
  {
    what: 'node has it, registry has lost it',
    node: complete,
    registry: notFound,
    sentences: {
      Always: `Always asks the registry, which ${refuses}, although ${oldText} is on this node.`,
      IfNotPresent: `${ifNotPresentHeld}, even though the registry does not give the image now (manifest unknown).`,
      Never: `${neverHeld}, even though the registry does not give the image now (manifest unknown).`,
    },
  },
  {
    what: 'node has it, registry denies it',
    node: complete,
    registry: denied,
    sentences: {
      Always: `Always asks the registry, which does not give the image (access denied for img1), so the container does not start (ErrImagePull), although ${oldText} is on this node.`,
      IfNotPresent: `${ifNotPresentHeld}, even though the registry does not give the image now (access denied for img1).`,
      Never: `${neverHeld}, even though the registry does not give the image now (access denied for img1).`,
    },
  },
  {
    what: 'node has it, registry not asked',
    node: complete,
    registry: notAsked,
    sentences: {
      Always: `Always asks the registry, which ${unknown}`,
      IfNotPresent: `${ifNotPresentHeld}; what the registry says now is not known.`,
      Never: `${neverHeld}; what the registry says now is not known.`,
    },
  },
  {
    what: 'node lacks it, registry has it',
    registry: says(moved, 1, 45_000_000),
    sentences: {
      Always: `Always asks the registry, which says ${movedText}: ${absent}, so 1 layer (45MB) is downloaded and it starts.`,
      IfNotPresent: `IfNotPresent asks the registry, because ${absent}; the registry says ${movedText}, so 1 layer (45MB) is downloaded and it starts.`,
      Never: neverAbsent,
    },
  },
  {
    what: 'node lacks the name, but has every layer',
    registry: says(moved),
    sentences: {
      Always: `Always asks the registry, which says ${movedText}: ${absent}, but all its layers are, so nothing is downloaded and it starts.`,
      IfNotPresent: `IfNotPresent asks the registry, because ${absent}, but all its layers are; the registry says ${movedText}, so nothing is downloaded and it starts.`,
      Never: neverAbsent,
    },
  },
  {
    what: 'node lacks it, registry cannot be reached',
    registry: unreachable,
    sentences: {
      Always: `Always asks the registry, which ${cannot}.`,
      IfNotPresent: `IfNotPresent asks the registry, because ${absent}; the registry ${cannot}.`,
      Never: neverAbsent,
    },
  },
  {
    what: 'node lacks it, registry lacks it too',
    registry: notFound,
    sentences: {
      Always: `Always asks the registry, which ${refuses}.`,
      IfNotPresent: `IfNotPresent asks the registry, because ${absent}; the registry ${refuses}.`,
      Never: neverAbsent,
    },
  },
  {
    what: 'node lacks it, registry not asked',
    registry: notAsked,
    sentences: {
      Always: `Always asks the registry, which ${unknown}`,
      IfNotPresent: `IfNotPresent asks the registry, because ${absent}; the registry ${unknown}`,
      Never: neverAbsent,
    },
  },
  {
    what: 'node has a part, registry says the same',
    node: incomplete,
    registry: says(old, 1, 12_000_000),
    sentences: {
      Always: `Always asks the registry, which says ${oldText}: ${inPart}, so 1 layer (12MB) is downloaded and it starts.`,
      IfNotPresent: `IfNotPresent asks the registry, because ${inPart}; the registry says ${oldText}, so 1 layer (12MB) is downloaded and it starts.`,
      Never: neverInPart,
    },
  },
  {
    what: 'node has a part unpacked and the rest stored',
    node: incomplete,
    registry: says(old),
    sentences: {
      Always: `Always asks the registry, which says ${oldText}: ${inPart}, but the rest is stored here, so nothing is downloaded and it starts.`,
      IfNotPresent: `IfNotPresent asks the registry, because ${inPart}, but the rest is stored here; the registry says ${oldText}, so nothing is downloaded and it starts.`,
      Never: neverInPart,
    },
  },
  {
    what: 'node has a part, registry says another digest',
    node: incomplete,
    registry: says(moved, 1, 12_000_000),
    sentences: {
      Always: `Always asks the registry, which says ${movedText}, not the ${oldText} that this node has: 1 layer (12MB) is downloaded and the registry's image starts.`,
      IfNotPresent: `IfNotPresent asks the registry, because ${inPart}; the registry says ${movedText}, so 1 layer (12MB) is downloaded and it starts.`,
      Never: neverInPart,
    },
  },
  {
    what: 'node has a part, registry cannot be reached',
    node: incomplete,
    registry: unreachable,
    sentences: {
      Always: `Always asks the registry, which ${cannot}.`,
      IfNotPresent: `IfNotPresent asks the registry, because ${inPart}; the registry ${cannot}.`,
      Never: neverInPart,
    },
  },
  {
    what: 'node has a part, registry has lost it',
    node: incomplete,
    registry: notFound,
    sentences: {
      Always: `Always asks the registry, which ${refuses}.`,
      IfNotPresent: `IfNotPresent asks the registry, because ${inPart}; the registry ${refuses}.`,
      Never: neverInPart,
    },
  },
  {
    what: 'node has a part, registry not asked',
    node: incomplete,
    registry: notAsked,
    sentences: {
      Always: `Always asks the registry, which ${unknown}`,
      IfNotPresent: `IfNotPresent asks the registry, because ${inPart}; the registry ${unknown}`,
      Never: neverInPart,
    },
  },
  {
    what: 'by digest: node has it, registry has it',
    image: byDigest,
    node: complete,
    registry: says(old),
    sentences: {
      Always:
        'Even for a digest Always asks the registry, which has it: that digest is on this node already, so nothing is downloaded and it starts.',
      IfNotPresent: `IfNotPresent does not ask the registry: ${digestHeld}`,
      Never: `With Never the registry is not asked: ${digestHeld}`,
    },
  },
  {
    what: 'by digest: node has it, registry cannot be reached',
    image: byDigest,
    node: complete,
    registry: unreachable,
    sentences: {
      Always: `Even for a digest Always asks the registry, which ${cannot}, although ${digestName} is on this node.`,
      IfNotPresent: `IfNotPresent does not ask the registry: ${digestHeld}`,
      Never: `With Never the registry is not asked: ${digestHeld}`,
    },
  },
  {
    what: 'by digest: node has it, registry has lost it',
    image: byDigest,
    node: complete,
    registry: notFound,
    sentences: {
      Always: `Even for a digest Always asks the registry, which ${refuses}, although ${digestName} is on this node.`,
      IfNotPresent: `IfNotPresent does not ask the registry: ${digestHeld}`,
      Never: `With Never the registry is not asked: ${digestHeld}`,
    },
  },
  {
    what: 'by digest: node lacks it, registry has it',
    image: byDigest,
    registry: says(old, 3, 45_000_000),
    sentences: {
      Always: `Even for a digest Always asks the registry, which has it: ${digestName} is not on this node, so 3 layers (45MB) are downloaded and it starts.`,
      IfNotPresent: `IfNotPresent asks the registry, because ${digestName} is not on this node; the registry has it, so 3 layers (45MB) are downloaded and it starts.`,
      Never: neverDigestAbsent,
    },
  },
  {
    what: 'by digest: node lacks it, registry lacks it too',
    image: byDigest,
    registry: notFound,
    sentences: {
      Always: `Even for a digest Always asks the registry, which ${refuses}.`,
      IfNotPresent: `IfNotPresent asks the registry, because ${digestName} is not on this node; the registry ${refuses}.`,
      Never: neverDigestAbsent,
    },
  },
];

describe.each(combinations)('$what', ({ image = 'img1', node, registry, sentences }) => {
  const { outcomes } = explain({ image, node, registry });

  test('reads well under each policy', () => {
    expect(Object.fromEntries(outcomes.map(({ policy, sentence }) => [policy, sentence]))).toEqual(sentences);
  });

  test('says in fields what it says in words', () => {
    for (const outcome of outcomes) {
      const { starts, error, digest, source, sentence, layersToDownload, bytesToDownload, reasons } = outcome;
      expect(sentence).not.toMatch(/undefined|NaN|\s{2}|\.\./);
      expect(starts === false).toBe(error !== undefined);
      expect(starts === true).toBe(digest !== undefined && source !== undefined);
      if (error) expect(sentence).toContain(`does not start (${error})`);
      expect(sentence.includes('so that runs') || / (?:it|image) starts\.$/.test(sentence)).toBe(starts === true);
      expect(layersToDownload > 0).toBe(/layers? \(\S+\) (?:is|are) downloaded/.test(sentence));
      if (bytesToDownload === 0) expect(sentence).not.toMatch(/\) (?:is|are) downloaded/);
      expect(reasons.length).toBeGreaterThanOrEqual(3);
      for (const reason of reasons) expect(reason.text).toMatch(/^[A-Z0-9].*\.$/);
      expect(new Set(reasons.map(({ fact }) => fact)).size).toBe(reasons.length);
    }
  });
});

function outcome(
  policy: PullPolicy,
  node: NodeImageFacts | undefined,
  registry: RegistryFacts | NotAsked,
  image = 'img1',
) {
  return explain({ image, explicitPolicy: policy, node, registry }).outcome;
}

describe('what would run', () => {
  test('Always takes what the registry says, from the node where it has that', () => {
    expect(outcome('Always', complete, says(old))).toMatchObject({ digest: old, source: 'node', layersToDownload: 0 });
    expect(outcome('Always', complete, says(moved, 2, 500))).toMatchObject({
      digest: moved,
      source: 'registry',
      layersToDownload: 2,
      bytesToDownload: 500,
      olderThanRegistry: false,
    });
    expect(outcome('Always', incomplete, says(old, 1, 9))).toMatchObject({ digest: old, source: 'registry' });
  });

  test('IfNotPresent and Never take what the node has, whatever the registry says', () => {
    for (const policy of ['IfNotPresent', 'Never'] as const) {
      for (const registry of [says(old), says(moved, 2, 500), unreachable, notFound, notAsked]) {
        expect(outcome(policy, complete, registry)).toMatchObject({
          starts: true,
          digest: old,
          source: 'node',
          layersToDownload: 0,
          bytesToDownload: 0,
        });
      }
    }
  });

  test('it is older than the registry only when the registry says another digest now', () => {
    expect(outcome('IfNotPresent', complete, says(moved, 1, 1)).olderThanRegistry).toBe(true);
    expect(outcome('Never', complete, says(moved, 1, 1)).olderThanRegistry).toBe(true);
    expect(outcome('Never', complete, says(old)).olderThanRegistry).toBe(false);
    expect(outcome('Never', complete, unreachable).olderThanRegistry).toBeUndefined();
    expect(outcome('Never', complete, notAsked).olderThanRegistry).toBeUndefined();
    expect(outcome('Never', complete, unreachable, byDigest).olderThanRegistry).toBe(false);
  });

  test('it is not known when the registry decides and was not asked', () => {
    expect(outcome('Always', complete, notAsked).starts).toBeUndefined();
    expect(outcome('IfNotPresent', undefined, notAsked).starts).toBeUndefined();
    expect(outcome('Never', undefined, notAsked).starts).toBe(false);
  });

  test('an image without layers is complete', () => {
    expect(outcome('Never', { ...complete, layersUnpacked: 0, layersTotal: 0 }, notAsked).starts).toBe(true);
  });
});

describe('reasons', () => {
  const facts = (...input: Parameters<typeof outcome>) => outcome(...input).reasons.map(({ fact }) => fact);

  test('have stable names, in the order of the decision', () => {
    expect(facts('Always', complete, says(old))).toEqual([
      'policy-always',
      'node-present',
      'registry-same',
      'nothing-to-download',
    ]);
    expect(facts('IfNotPresent', complete, says(moved, 1, 1))).toEqual([
      'policy-if-not-present',
      'node-present',
      'registry-different',
      'older-than-registry',
    ]);
    expect(facts('IfNotPresent', undefined, says(moved, 1, 1))).toEqual([
      'policy-if-not-present',
      'node-absent',
      'registry-has',
      'download',
    ]);
    expect(facts('Always', incomplete, unreachable)).toEqual([
      'policy-always',
      'node-incomplete',
      'registry-unreachable',
      'tried-again-with-back-off',
    ]);
    expect(facts('Always', undefined, notFound)).toContain('registry-refused');
    expect(facts('Never', undefined, notAsked)).toEqual([
      'policy-never',
      'node-absent',
      'registry-not-asked',
      'looked-at-again',
    ]);
  });

  test('tell when the node got the image and when the registry last confirmed it', () => {
    const text = outcome('Never', complete, notAsked).reasons.find(({ fact }) => fact === 'node-present')?.text;
    expect(text).toBe(`This node has ${oldText}, ${pulled}, last confirmed by the registry 2026-08-03 09:10 UTC.`);
  });
});

describe('hints', () => {
  test('say how to get what the registry says', () => {
    expect(outcome('IfNotPresent', complete, says(moved, 1, 1)).hint).toBe(
      'To run what the registry says now, pull it on this node (lading pull img1) or use Always.',
    );
  });

  test("repeat the registry's and name the policy that would start the container", () => {
    expect(outcome('Always', complete, unreachable).hint).toBe(
      'Start the registry. With IfNotPresent the container would start from what this node has.',
    );
    expect(outcome('Always', undefined, unreachable).hint).toBe('Start the registry.');
    expect(outcome('Always', undefined, notFound).hint).toBeUndefined();
  });

  test('say how to bring an image to a node that must not pull', () => {
    expect(outcome('Never', undefined, notAsked).hint).toContain('lading pull img1');
  });

  test('are not given where nothing is wrong', () => {
    expect(outcome('Always', complete, says(old)).hint).toBeUndefined();
    expect(outcome('IfNotPresent', complete, says(old)).hint).toBeUndefined();
  });
});

describe('the policy that holds', () => {
  test('is the written one, or follows from the tag, and says why', () => {
    expect(explain({ image: 'img1', registry: notAsked })).toMatchObject({
      name,
      policy: 'Always',
      policyOrigin: 'defaulted',
      policyRule: 'no tag means :latest, and :latest means Always',
      outcome: { policy: 'Always' },
    });
    expect(explain({ image: 'img1', explicitPolicy: 'Never', registry: notAsked })).toMatchObject({
      policy: 'Never',
      policyOrigin: 'written',
      outcome: { policy: 'Never' },
    });
    expect(explain({ image: 'img1', explicitPolicy: '', registry: notAsked }).policyOrigin).toBe('defaulted');
  });

  test('is one of three outcomes that are always all there', () => {
    const { outcomes } = explain({ image: 'img1:1', registry: notAsked });
    expect(outcomes.map(({ policy }) => policy)).toEqual(['Always', 'IfNotPresent', 'Never']);
  });
});

test('a digest beside a tag is what counts', () => {
  const { name: named, policy } = explain({ image: `img1:latest@${old}`, registry: notAsked });
  expect(named).toBe(`docker.io/library/img1@${old}`);
  expect(policy).toBe('Always');
});

test('a name that cannot be read fails under every policy, and says how to correct it', () => {
  const { name: named, outcomes } = explain({ image: 'Img1', registry: notAsked });
  expect(named).toBe('Img1');
  for (const { starts, error, sentence, hint } of outcomes) {
    expect({ starts, error }).toEqual({ starts: false, error: 'InvalidImageName' });
    expect(sentence).toBe(
      'The image name "Img1" cannot be read (invalid reference format: repository name (library/Img1) must be lowercase), so the container does not start (InvalidImageName).',
    );
    expect(hint).toContain('did you mean "img1"?');
  }
});

describe('whose credentials are not known to give access', () => {
  const facts = { image: 'img1', node: complete, verified: false };
  const knowsNot = `this node does not know that the pod's credentials give access to ${name}`;

  test('IfNotPresent asks the registry although the node has it, and Never refuses', () => {
    const { outcomes } = explain({ ...facts, registry: says(old) });
    expect(outcomes.map(({ starts, error }) => error ?? starts)).toEqual([true, true, 'ErrImageNeverPull']);
    expect(outcomes.slice(1).map(({ sentence }) => sentence)).toEqual([
      `IfNotPresent asks the registry, because ${knowsNot}; the registry says ${oldText}, so nothing is downloaded and it starts.`,
      `With Never the registry is not asked, and ${knowsNot}, so the container does not start (ErrImageNeverPull).`,
    ]);
    expect(outcomes[2]!.hint).toBe('Give the pod the pull secret that the image was pulled with, or use IfNotPresent.');
    expect(outcomes[1]!.reasons.map(({ fact }) => fact)).toContain('node-not-verified');
  });

  test('no hint speaks of starting from what the node has', () => {
    const [always] = explain({ ...facts, registry: denied }).outcomes;
    expect(always!.hint ?? '').not.toContain('With IfNotPresent');
  });
});

describe('Always where cached images are allowed', () => {
  const hourMs = 3_600_000;
  const atMs = Date.parse(complete.checkedAt!) + 2 * hourMs;
  const always = (input: Partial<Parameters<typeof explain>[0]>) =>
    explain({
      image: 'img1',
      node: complete,
      registry: unreachable,
      whenUnreachable: { useCached: true },
      atMs,
      ...input,
    }).outcomes[0]!;

  test('runs what the node has while the registry cannot be asked', () => {
    const outcome = always({});
    expect(outcome).toMatchObject({ starts: true, digest: old, source: 'node', bytesToDownload: 0 });
    expect(outcome.sentence).toBe(
      `Always asks the registry, which cannot be reached (connect ECONNREFUSED 127.0.0.1:5000); what this node has may be used meanwhile, so ${oldText} runs: it was last known to be current 2h0m0s ago.`,
    );
    expect(outcome.reasons.at(-1)!.fact).toBe('cached-used');
  });

  test.each<[what: string, input: Partial<Parameters<typeof explain>[0]>, reason: string]>([
    ['for too long', { whenUnreachable: { useCached: true, maxAgeMs: hourMs } }, 'cached-too-old'],
    ['without credentials', { verified: false }, 'node-not-verified'],
    ['which it has only in part', { node: incomplete }, 'tried-again-with-back-off'],
    ['when the registry refuses', { registry: denied }, 'tried-again-with-back-off'],
    ['where nobody allows it', { whenUnreachable: { useCached: false } }, 'tried-again-with-back-off'],
  ])('but not %s', (_, input, reason) => {
    const outcome = always(input);
    expect(outcome.starts).toBe(false);
    expect(outcome.reasons.at(-1)!.fact).toBe(reason);
  });
});

test('a policy that is only assumed goes before the one that is written', () => {
  const { policy, policyOrigin, outcome } = explain({
    image: 'img1',
    explicitPolicy: 'Never',
    assumedPolicy: 'IfNotPresent',
    registry: notFound,
  });
  expect([policy, policyOrigin, outcome.policy]).toEqual(['IfNotPresent', 'assumed', 'IfNotPresent']);
});
