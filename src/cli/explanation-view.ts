/** An explanation as people read it: what holds first, then the three policies side by side. */
import { styleText } from 'node:util';
import type { PolicyOutcome } from '../policy/index.ts';
import type { ExplainedContainer } from './commands/explain.ts';
import { humanAgo, humanSize, plural, shortDigest } from './human.ts';
import { formatTable, oneLine } from './output.ts';

export async function explanationText(item: ExplainedContainer, stream: NodeJS.WriteStream): Promise<string> {
  const bold = (text: string) => styleText('bold', text, { stream });
  const facts = await formatTable(factLines(item, Date.now()).map((cells) => ['', ...cells.map(oneLine)]));
  const outcomes = await formatTable([
    ['', 'POLICY', 'RUNS', 'DOWNLOADS', 'STALE'],
    ...item.outcomes.map((outcome) => [outcome.policy === item.policy ? ' *' : '', ...outcomeCells(outcome)]),
  ]);
  // A name that cannot be read is the same under each policy.
  const told = item.outcomes.filter(
    ({ policy, sentence }) => policy === item.policy || sentence !== item.outcome.sentence,
  );
  const sentences = told.map((outcome) => {
    const text = `  ${oneLine(outcome.sentence)}`;
    return outcome.policy === item.policy ? bold(text) : text;
  });
  const hint = item.outcome.hint === undefined ? [] : [`  hint: ${oneLine(item.outcome.hint)}`];
  return `${bold(oneLine(title(item)))}\n${facts}\n${outcomes}\n${[...sentences, ...hint].join('\n')}\n`;
}

function title({ image, file, pod, container }: ExplainedContainer): string {
  return pod === undefined ? image : `pod ${pod}, container ${container}: ${image} (${file})`;
}

function factLines(item: ExplainedContainer, nowMs: number): string[][] {
  const { node, registry } = item;
  const written = item.policyOrigin === 'written' ? 'written' : 'by default';
  return [
    ['image', item.name],
    ['policy', `${item.policy} (${written}: ${item.policyRule})`],
    [
      'this node',
      node
        ? `${node.digest}, pulled ${humanAgo(Date.parse(node.pulledAt), nowMs)}, ` +
          `${node.layersUnpacked} of ${plural(node.layersTotal, 'layer')} unpacked`
        : 'does not have it',
    ],
    ['registry', registryText(registry)],
  ];
}

function registryText(registry: ExplainedContainer['registry']): string {
  if (!('reachable' in registry)) return 'not asked: the name cannot be read';
  if (!registry.reachable) return `${registry.refused ? 'refused' : 'could not be asked'}: ${registry.reason}`;
  const platform = registry.platform === undefined ? '' : `, ${registry.platform}`;
  return `${registry.digest}, answered in ${Math.max(1, Math.round(registry.responseMs))} ms${platform}`;
}

function outcomeCells(outcome: PolicyOutcome): string[] {
  const { starts, digest, layersToDownload, bytesToDownload, olderThanRegistry } = outcome;
  const runs = starts ? shortDigest(digest ?? '') : starts === undefined ? 'unknown' : `- (${outcome.error})`;
  const downloads =
    bytesToDownload === 0 ? 'nothing' : `${plural(layersToDownload, 'layer')}, ${humanSize(bytesToDownload)}`;
  const stale = olderThanRegistry === undefined ? '-' : olderThanRegistry ? 'yes' : 'no';
  return [outcome.policy, runs, starts ? downloads : '-', stale];
}
