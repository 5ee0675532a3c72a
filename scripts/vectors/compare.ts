/**
 * Compares as the vector tables define it: members that the outermost expectation does not name are not asserted, `null`
 * asserts absence, `…Contains` and `…Regex` compare the member without that ending, order counts in lists only.
 * @returns where and how they differ, or undefined
 */
export function difference(expected: unknown, actual: unknown): string | undefined {
  if (!isObject(expected) || !isObject(actual)) return exactDifference(expected, actual, '');
  return membersDifference(expected, actual, '');
}

function membersDifference(expected: object, actual: object, path: string): string | undefined {
  for (const [name, value] of Object.entries(expected)) {
    const [member, relation] = splitRelation(name);
    const found: unknown = Reflect.get(actual, member);
    const where = path === '' ? member : `${path}.${member}`;
    const differs = relation
      ? textDifference(relation, String(value), found, where)
      : exactDifference(value, found, where);
    if (differs !== undefined) return differs;
  }
  return undefined;
}

function exactDifference(expected: unknown, actual: unknown, path: string): string | undefined {
  const differs = `${path === '' ? 'the result' : path} should be ${show(expected)}, but is ${show(actual)}`;
  if (expected === null || expected === undefined) return actual === null || actual === undefined ? undefined : differs;
  if (Array.isArray(expected)) {
    if (!Array.isArray(actual) || actual.length !== expected.length) return differs;
    return firstOf(expected.map((item, index) => exactDifference(item, actual[index], `${path}[${index}]`)));
  }
  if (!isObject(expected)) return Object.is(expected, actual) ? undefined : differs;
  if (!isObject(actual)) return differs;
  const named = new Set(Object.keys(expected).map((name) => splitRelation(name)[0]));
  const extra = Object.entries(actual).find(
    ([name, value]) => !named.has(name) && value !== undefined && value !== null,
  );
  if (extra) return `${path === '' ? '' : `${path}.`}${extra[0]} should be absent, but is ${show(extra[1])}`;
  return membersDifference(expected, actual, path);
}

function textDifference(
  relation: 'Contains' | 'Regex',
  text: string,
  found: unknown,
  path: string,
): string | undefined {
  const holds =
    typeof found === 'string' &&
    (relation === 'Contains' ? found.includes(text) : new RegExp(`^(?:${text})$`, 'u').test(found));
  const verb = relation === 'Contains' ? 'contain' : 'match';
  return holds ? undefined : `${path} should ${verb} ${show(text)}, but is ${show(found)}`;
}

function splitRelation(name: string): [member: string, relation?: 'Contains' | 'Regex'] {
  for (const relation of ['Contains', 'Regex'] as const) {
    if (name.endsWith(relation) && name !== relation) return [name.slice(0, -relation.length), relation];
  }
  return [name];
}

function firstOf(differences: readonly (string | undefined)[]): string | undefined {
  return differences.find((found) => found !== undefined);
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function show(value: unknown): string {
  return value === undefined ? 'absent' : JSON.stringify(value);
}
