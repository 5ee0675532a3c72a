/**
 * The table of all commands: what the help lists, and where each command is found when it is wanted. A command's file
 * declares its arguments and options and loads what its action needs only when that runs, so that help costs nothing.
 * Nothing here runs a command or prints.
 */
import type { Command } from 'commander';
import type { Cli, DefineCommand } from '../cli.ts';

export type CommandGroup = 'Pods' | 'Images' | 'Node' | 'Registry' | 'Other';

export interface CommandEntry {
  readonly name: string;
  /** The line in the list of commands, and the first line of the command's help. */
  readonly summary: string;
  readonly group: CommandGroup;
  readonly load: () => Promise<{ readonly define: DefineCommand }>;
  /**
   * The command creates, reads or removes files of many owners, as layers and containers have them: without root it
   * runs inside a user namespace.
   */
  readonly handlesLayers?: true;
  /** Not for people: left out of the help. */
  readonly hidden?: true;
}

export const commandTable: readonly CommandEntry[] = [
  {
    name: 'run',
    summary: 'Run the pods of Kubernetes manifests in the foreground',
    group: 'Pods',
    load: () => import('./run.ts'),
    handlesLayers: true,
  },
  {
    name: 'explain',
    summary: 'Show what would run under each pull policy, and why',
    group: 'Pods',
    load: () => import('./explain.ts'),
  },
  { name: 'ps', summary: 'List what runs on this node', group: 'Pods', load: () => import('./ps.ts') },
  {
    name: 'events',
    summary: 'List what happened to the pods of this node, or follow it',
    group: 'Pods',
    load: () => import('./events.ts'),
  },
  {
    name: 'retry',
    summary: 'Let pods try again now instead of after their back-off',
    group: 'Pods',
    load: () => import('./retry.ts'),
  },
  {
    name: 'metrics',
    summary: 'Count what happens to images, for Prometheus',
    group: 'Pods',
    load: () => import('./metrics.ts'),
  },
  {
    name: 'demo',
    summary: 'See what the pull policies do, with real containers',
    group: 'Pods',
    load: () => import('./demo.ts'),
    handlesLayers: true,
  },
  {
    name: 'pull',
    summary: 'Pull images from their registries',
    group: 'Images',
    load: () => import('./pull.ts'),
    handlesLayers: true,
  },
  {
    name: 'push',
    summary: 'Send an image of this node to a registry',
    group: 'Images',
    load: () => import('./push.ts'),
  },
  { name: 'tag', summary: 'Give an image of this node one more name', group: 'Images', load: () => import('./tag.ts') },
  {
    name: 'copy',
    summary: 'Copy an image between registries, folders and archives',
    group: 'Images',
    load: () => import('./copy.ts'),
  },
  {
    name: 'save',
    summary: 'Write images of this node to an archive',
    group: 'Images',
    load: () => import('./save.ts'),
  },
  {
    name: 'load',
    summary: 'Load images from an archive',
    group: 'Images',
    load: () => import('./load.ts'),
    handlesLayers: true,
  },
  { name: 'images', summary: 'List the images on this node', group: 'Images', load: () => import('./images.ts') },
  {
    name: 'inspect',
    summary: 'Show everything known about an image',
    group: 'Images',
    load: () => import('./inspect.ts'),
  },
  {
    name: 'history',
    summary: 'Show which digests a name has meant on this node',
    group: 'Images',
    load: () => import('./history.ts'),
  },
  {
    name: 'rmi',
    summary: 'Remove images, or single names of them',
    group: 'Images',
    load: () => import('./rmi.ts'),
    handlesLayers: true,
  },
  { name: 'df', summary: 'Show the disk usage of this node', group: 'Node', load: () => import('./df.ts') },
  {
    name: 'gc',
    summary: 'Remove what nothing refers to any more',
    group: 'Node',
    load: () => import('./gc.ts'),
    handlesLayers: true,
  },
  {
    name: 'check',
    summary: 'Compare what is stored with its digests and records',
    group: 'Node',
    load: () => import('./check.ts'),
    handlesLayers: true,
  },
  { name: 'ls-tags', summary: 'List the tags of a repository', group: 'Registry', load: () => import('./ls-tags.ts') },
  {
    name: 'referrers',
    summary: 'List what refers to an image: signatures, SBOMs, …',
    group: 'Registry',
    load: () => import('./referrers.ts'),
  },
  { name: 'rm-tag', summary: 'Remove a tag from a registry', group: 'Registry', load: () => import('./rm-tag.ts') },
  { name: 'config', summary: 'Show what is configured', group: 'Node', load: () => import('./config.ts') },
  { name: 'registry', summary: 'Run a small image registry', group: 'Registry', load: () => import('./registry.ts') },
  { name: 'login', summary: 'Log in to a registry', group: 'Registry', load: () => import('./login.ts') },
  { name: 'logout', summary: 'Log out of a registry', group: 'Registry', load: () => import('./logout.ts') },
  {
    name: 'completion',
    summary: 'Print the completion script for a shell',
    group: 'Other',
    load: () => import('./completion.ts'),
  },
  {
    name: '__complete',
    summary: 'Answer a completion script',
    group: 'Other',
    load: () => import('./complete.ts'),
    hidden: true,
  },
  { name: 'version', summary: 'Show the version of Lading', group: 'Other', load: () => import('./version.ts') },
];

/** Gives a command of the table, which has its name only, its arguments, options and action. */
export async function defineCommand(command: Command, cli: Cli): Promise<void> {
  const entry = commandTable.find(({ name }) => name === command.name());
  const { define } = await entry!.load();
  define(command, cli);
}
