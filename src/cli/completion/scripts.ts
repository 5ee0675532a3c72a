/**
 * The scripts that make a shell ask `lading __complete` what may stand at the cursor. Its answer: a line per candidate,
 * `VALUE<tab>DESCRIPTION`, or the one line `:files` or `:folders`.
 */
export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

const bash = `# bash completion for lading
_lading() {
  local line="\${COMP_LINE:0:COMP_POINT}" current='' candidate
  local -a words
  # Not -r: a blank behind a backslash belongs to the word.
  read -a words <<< "$line"
  if [[ $line == *[[:blank:]] ]]; then words+=(''); fi
  current="\${words[-1]}"
  COMPREPLY=()
  # bash breaks words at : @ and = too: what is before the last of them must not be in the answer.
  local before="\${current%"\${current##*[:@=]}"}"
  while IFS= read -r candidate; do
    case "$candidate" in
      # With nothing in the answer, bash itself completes names of files: it knows quotes, blanks and ~.
      :files) compopt -o default 2>/dev/null; return ;;
      :folders) compopt -o dirnames 2>/dev/null; return ;;
    esac
    candidate="\${candidate%%$'\\t'*}"
    COMPREPLY+=("\${candidate#"$before"}")
  done < <("\${words[0]}" __complete -- "\${words[@]:1}" 2>/dev/null)
}
complete -F _lading lading
`;

const zsh = `#compdef lading
# zsh completion for lading
_lading() {
  local line value
  local -a candidates
  for line in "\${(@f)$("\${words[1]}" __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    case "$line" in
      ('') continue ;;
      (:files) [[ "$PREFIX" == -*=* ]] && compset -P '*='; _files; return ;;
      (:folders) [[ "$PREFIX" == -*=* ]] && compset -P '*='; _files -/; return ;;
    esac
    value="\${line%%$'\\t'*}"
    value="\${value//:/\\\\:}"
    if [[ "$line" == *$'\\t' ]]; then candidates+=("$value"); else candidates+=("$value:\${line#*$'\\t'}"); fi
  done
  _describe -V 'lading' candidates
}
if [[ "$funcstack[1]" == _lading ]]; then
  _lading "$@"
else
  compdef _lading lading
fi
`;

const fish = `# fish completion for lading
function __lading_complete
    set -l words (commandline --current-process --tokenize --cut-at-cursor)
    set -l typed (commandline --current-token --cut-at-cursor)
    set -l current (string unescape -- "$typed")
    # What is before the value in --config=FILE.
    set -l flag (string match --regex -- '^-[^=]*=' "$current")
    set -l value (string replace --regex -- '^-[^=]*=' '' "$current")
    for line in ($words[1] __complete -- $words[2..-1] "$current" 2>/dev/null)
        switch $line
            case :files
                for found in (__fish_complete_path "$value")
                    printf '%s\\n' "$flag$found"
                end
            case :folders
                for found in (__fish_complete_directories "$value")
                    printf '%s\\n' "$flag$found"
                end
            case '*'
                printf '%s\\n' $line
        end
    end
end
complete --command lading --no-files --arguments '(__lading_complete)'
`;

export const completionScripts: Readonly<Record<Shell, string>> = { bash, zsh, fish };
