import { createRequire } from 'node:module';

/** One field of a Kubernetes API type, as its OpenAPI description has it. */
export interface ModelField {
  readonly name: string;
  /**
   * `string`, `number`, `boolean`, `Date`, `any`, `IntOrString`, `Quantity`, `opaque` (not looked at), a model's
   * name, `Array<T>` or `{ [key: string]: T; }`.
   */
  readonly type: string;
  /** `int32`, `int64`, `double`, `byte`, `date-time`, … or empty. */
  readonly format: string;
}

interface ModelClass {
  getAttributeTypeMap(): { baseName: string; type: string; format: string }[];
}

// One file of the generated client is read for each type that a manifest really uses: the whole package takes half a
// second to load, one model file a millisecond. They are ES modules without top-level await, which Node can require.
const require = createRequire(import.meta.url);
const cache = new Map<string, ReadonlyMap<string, ModelField>>([
  [
    // The client has no type for the plain `List`. Its items are decoded by their own kinds.
    'V1List',
    new Map(
      Object.entries({ apiVersion: 'string', kind: 'string', metadata: 'V1ListMeta', items: 'Array<opaque>' }).map(
        ([name, type]) => [name, { name, type, format: '' }],
      ),
    ),
  ],
]);

/**
 * Quantities (`500m`, `1Gi`, `2`): the API takes them as strings and as numbers, its description only says `string`.
 * Those that can stand in a pod template or a volume claim.
 */
const quantities = new Set([
  'V1ResourceRequirements.limits',
  'V1ResourceRequirements.requests',
  'V1VolumeResourceRequirements.limits',
  'V1VolumeResourceRequirements.requests',
  'V1PodSpec.overhead',
  'V1EmptyDirVolumeSource.sizeLimit',
  'V1ResourceFieldSelector.divisor',
]);

/** The fields of the Kubernetes API type `model`, for example `V1PodSpec`, by their names in JSON. */
export function modelFields(model: string): ReadonlyMap<string, ModelField> {
  let fields = cache.get(model);
  if (!fields) {
    const loaded = require(`@kubernetes/client-node/dist/gen/models/${model}.js`) as Record<string, ModelClass>;
    fields = new Map(
      loaded[model]!.getAttributeTypeMap().map(({ baseName, type, format }) => {
        const exact = quantities.has(`${model}.${baseName}`) ? type.replace(/string(?=;|$)/, 'Quantity') : type;
        return [baseName, { name: baseName, type: exact, format }];
      }),
    );
    cache.set(model, fields);
  }
  return fields;
}

const listType = /^Array<(.+)>$/;
const mapType = /^\{ \[key: string\]: (.+); \}$/;

/** `T` of `Array<T>`, else undefined. */
export function listItemType(type: string): string | undefined {
  return listType.exec(type)?.[1];
}

/** `T` of `{ [key: string]: T; }`, else undefined. */
export function mapValueType(type: string): string | undefined {
  return mapType.exec(type)?.[1];
}

/** Whether `type` names a model with fields of its own. */
export function isModel(type: string): boolean {
  return (
    /^[A-Z]/.test(type) &&
    type !== 'Date' &&
    type !== 'IntOrString' &&
    type !== 'Quantity' &&
    !type.startsWith('Array<')
  );
}
