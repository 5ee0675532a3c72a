/** An explanation as people read it: what holds first, then the three policies side by side. */
import { styleText } from 'node:util';
import { goDuration, type PolicyOutcome } from '../policy/index.ts';
import type { Diff, DiffSide } from './explain/diff.ts';
import type { ExplainedContainer } from './explain/explain-subject.ts';
import { humanAgo, humanDuration, humanSize, plural, shortDigest } from './human.ts';
import { fitted, formatTable, oneLine } from './output.ts';

export async function explanationText(item: ExplainedContainer, stream: NodeJS.WriteStream): Promise<string> {
  const bold = (text: string) => styleText('bold', text, { stream });
  const lines = factLines(item, Date.now());
  const facts = await formatTable(lines.map((cells) => ['', ...cells.map(oneLine)]));
  const factIndent = 3 + Math.max(...lines.map(([name = '']) => name.length)) + 3;
  const outcomes = await formatTable([
    ['', 'POLICY', 'RUNS', 'DOWNLOADS', 'STALE'],
    ...item.outcomes.map((outcome) => [outcome.policy === item.policy ? ' *' : '', ...outcomeCells(outcome)]),
  ]);
  // A name that cannot be read is the same under each policy.
  const told = item.outcomes.filter(
    ({ policy, sentence }) => policy === item.policy || sentence !== item.outcome.sentence,
  );
  const sentences = told.map((outcome) => {
    const text = fitted(`  ${oneLine(outcome.sentence)}`, 2, stream);
    return outcome.policy === item.policy ? bold(text) : text;
  });
  const hint = item.outcome.hint === undefined ? [] : [fitted(`  hint: ${oneLine(item.outcome.hint)}`, 2, stream)];
  return `${bold(oneLine(title(item)))}\n${fitted(facts, factIndent, stream)}\n${outcomes}\n${[...sentences, ...hint].join('\n')}\n`;
}

/** One table for all, then a sentence for each. */
export async function diffText(
  items: readonly { item: ExplainedContainer; diff: Diff }[],
  stream: NodeJS.WriteStream,
): Promise<string> {
  const [first] = items;
  if (!first) return '';
  const rows = items.map(({ item, diff: { from, to, same } }) => [
    item.pod ?? '-',
    item.container ?? item.volume ?? '-',
    item.image,
    sideText(from),
    sideText(to),
    same === undefined ? '?' : same ? 'same' : 'differs',
  ]);
  const from = items.some(({ diff }) => diff.from.what === 'running') ? 'RUNS NOW' : 'THIS NODE';
  const to = first.diff.to.what === 'after a restart' ? 'AFTER A RESTART' : 'OTHER NODE';
  const header = ['POD', 'CONTAINER', 'IMAGE', from, to, ''];
  const table = await formatTable([header, ...rows].map((cells) => cells.map(oneLine)));
  const sentences = items.map(({ item, diff }) => `${subjectOf(item)}: ${diff.sentence}\n`);
  return `${table}\n${sentences.map((sentence) => `${fitted(`  ${oneLine(sentence).trimEnd()}`, 2, stream)}\n`).join('')}`;
}

function sideText({ digest, error }: DiffSide): string {
  return digest === undefined ? `- (${error})` : shortDigest(digest);
}

function subjectOf({ pod, container, volume, image }: ExplainedContainer): string {
  return pod === undefined ? image : `${pod}/${container ?? volume}`;
}

function title({ image, file, pod, container, volume, insteadOf }: ExplainedContainer): string {
  const instead = insteadOf === undefined ? '' : ` instead of ${insteadOf}`;
  if (pod === undefined) return `${image}${instead}`;
  const part = volume === undefined ? `container ${container}` : `image volume ${volume}`;
  return `pod ${pod}, ${part}: ${image}${instead} (${file})`;
}

const origins = { written: 'written', defaulted: 'by default', assumed: 'assumed' } as const;

/** What has nothing to tell is left out. */
function factLines(item: ExplainedContainer, nowMs: number): string[][] {
  const { node, registry } = item;
  const lines: [name: string, text: string | undefined][] = [
    ['image', item.name],
    ['policy', `${item.policy} (${origins[item.policyOrigin]}: ${item.policyRule})`],
    [
      'this node',
      node
        ? `${node.digest}, pulled ${humanAgo(Date.parse(node.pulledAt), nowMs)}, ` +
          `${node.layersUnpacked} of ${plural(node.layersTotal, 'layer')} unpacked`
        : 'does not have it',
    ],
    ['registry', registryText(registry)],
    ['platform', platformText(registry)],
    ['asked', endpointsText(item)],
    ['credentials', credentialsText(item)],
    ['cached use', cachedText(item)],
    ['image gc', item.garbageCollection?.reason],
    ['runs now', runningText(item, nowMs)],
    ['back-off', backOffText(item)],
  ];
  return lines.flatMap(([name, text]) => (text === undefined ? [] : [[name, text]]));
}

function registryText(registry: ExplainedContainer['registry']): string {
  if (!('reachable' in registry)) return 'not asked: the name cannot be read';
  if (!registry.reachable) return `${registry.refused ? 'refused' : 'could not be asked'}: ${registry.reason}`;
  const platform = registry.platform === undefined ? '' : `, ${registry.platform}`;
  return `${registry.digest}, answered in ${Math.max(1, Math.round(registry.responseMs))} ms${platform}`;
}

/** Where there was a choice, or it went wrong. */
function platformText(registry: ExplainedContainer['registry']): string | undefined {
  if (!('reachable' in registry) || !registry.reachable) return undefined;
  const { platform, platforms = [], warnings = [] } = registry;
  const chosen = platforms.length === 0 ? [] : [`${platform ?? 'one without a platform'} of ${platforms.join(', ')}`];
  const parts = [...chosen, ...warnings];
  return parts.length === 0 ? undefined : parts.join('; ');
}

/** Only where there are mirrors; otherwise the registry's line says it all. */
function endpointsText({ endpoints = [] }: ExplainedContainer): string | undefined {
  if (endpoints.length < 2) return undefined;
  const results = { answered: 'answered', refused: 'refused', 'no-answer': 'no answer', 'not-asked': 'not asked' };
  return endpoints
    .map(({ url, result, status }) => `${new URL(url).host}: ${results[result]}${status ? ` (${status})` : ''}`)
    .join(', then ');
}

function credentialsText({ credentials }: ExplainedContainer): string | undefined {
  if (!credentials) return undefined;
  const { offered, missingSecrets = [], problem, accepted, verified, verification } = credentials;
  const isPlain = offered.length === 0 && missingSecrets.length === 0 && problem === undefined;
  if (isPlain && verified !== false) return undefined;
  const all = offered.map(({ source, username }) => (username ? `${source} (user ${username})` : source));
  const parts = [
    problem === undefined ? (all.length === 0 ? 'none' : all.join(', then ')) : `cannot be read: ${problem}`,
    ...(accepted === undefined ? [] : [`accepted: ${accepted}`]),
    ...(missingSecrets.length === 0 ? [] : [`not in the manifest: ${missingSecrets.join(', ')}`]),
  ];
  const known = verified === undefined ? '' : `${verified ? 'verified' : 'not verified'}: `;
  return `${parts.join('; ')}${verification === undefined ? '' : `; ${known}${verification}`}`;
}

function cachedText({ whenRegistryUnreachable: when }: ExplainedContainer): string | undefined {
  if (!when) return undefined;
  const limit = when.maxAgeMs === undefined ? '' : `, for ${goDuration(when.maxAgeMs)} after its last check`;
  return `while the registry cannot be asked, Always may run what this node has${limit}`;
}

function runningText({ running }: ExplainedContainer, nowMs: number): string | undefined {
  if (!running) return undefined;
  const since = running.since === undefined ? '' : `, started ${humanAgo(Date.parse(running.since), nowMs)}`;
  return `${running.digest === undefined ? '' : `${running.digest}, `}${running.status}${since}`;
}

function backOffText({ backOff, pod }: ExplainedContainer): string | undefined {
  if (!backOff) return undefined;
  const failure = backOff.failure === undefined ? '' : `: ${backOff.failure}`;
  return `the next pull is allowed in ${humanDuration(backOff.leftMs)} (lading retry ${pod})${failure}`;
}

function outcomeCells(outcome: PolicyOutcome): string[] {
  const { starts, digest, layersToDownload, bytesToDownload, olderThanRegistry } = outcome;
  const runs = starts ? shortDigest(digest ?? '') : starts === undefined ? 'unknown' : `- (${outcome.error})`;
  const downloads =
    bytesToDownload === 0 ? 'nothing' : `${plural(layersToDownload, 'layer')}, ${humanSize(bytesToDownload)}`;
  const stale = olderThanRegistry === undefined ? '-' : olderThanRegistry ? 'yes' : 'no';
  return [outcome.policy, runs, starts ? downloads : '-', stale];
}
