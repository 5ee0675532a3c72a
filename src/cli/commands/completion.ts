import { Argument, type Command } from 'commander';
import type { Cli } from '../cli.ts';
import { completionScripts, type Shell, shells } from '../completion/scripts.ts';
import { addExamples } from '../help.ts';

export function define(command: Command, cli: Cli): void {
  command.addArgument(new Argument('<shell>', 'the shell to complete in').choices(shells)).action((shell: Shell) => {
    cli.stdout.write(completionScripts[shell]);
  });
  addExamples(command, [
    ['source <(lading completion bash)', 'For this bash; put the line in ~/.bashrc for every bash'],
    ['source <(lading completion zsh)', 'For this zsh; put the line in ~/.zshrc, behind compinit, for every zsh'],
    ['lading completion fish > ~/.config/fish/completions/lading.fish', 'For every fish'],
  ]);
}
