/** A relative link to the next page. @see https://www.rfc-editor.org/rfc/rfc8288 */
export function nextPage(path: string, parameters: Readonly<Record<string, string | undefined>>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) if (value !== undefined) query.set(name, value);
  return `<${path}?${query}>; rel="next"`;
}
