/**
 * Replaces `$(NAME)` by the variable's value as Kubernetes does it in commands, arguments and variables: unknown names
 * stay as they are written, `$$` stands for one `$`, and values are not expanded again.
 * @see https://github.com/kubernetes/kubernetes/blob/v1.36.0/third_party/forked/golang/expansion/expand.go
 */
export function expandVariables(text: string, variables: ReadonlyMap<string, string>): string {
  return text.replace(/\$\$|\$\(([^)]*)\)/g, (whole, name: string | undefined) =>
    name === undefined ? '$' : (variables.get(name) ?? whole),
  );
}
