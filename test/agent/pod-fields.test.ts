import { describe, expect, test } from 'vitest';
import { isModel, listItemType, mapValueType, modelFields } from '../../src/agent/model-fields.ts';
import { treatments } from '../../src/agent/pod-fields.ts';

describe('treatment of fields', () => {
  test.each(Object.keys(treatments))('%s: every field of the API has one, and no other', (model) => {
    expect(Object.keys(treatments[model]!).toSorted()).toEqual([...modelFields(model).keys()].toSorted());
  });

  test('types of fields that are acted on are looked into, or wholly acted on', () => {
    const leaves = Object.entries(treatments).flatMap(([model, fields]) =>
      Object.entries(fields)
        .filter(([, treatment]) => treatment === 'used')
        .map(([name]) => listItemType(modelFields(model).get(name)!.type) ?? modelFields(model).get(name)!.type)
        .filter((type) => isModel(type) && !(type in treatments)),
    );
    expect([...new Set(leaves)].toSorted()).toEqual([
      'V1Capabilities',
      'V1ContainerRestartRuleOnExitCodes',
      'V1ObjectFieldSelector',
    ]);
  });
});

describe('types of the API', () => {
  test('lists, maps and models are told apart', () => {
    expect(listItemType('Array<V1Container>')).toBe('V1Container');
    expect(listItemType('V1Container')).toBeUndefined();
    expect(mapValueType('{ [key: string]: Array<string>; }')).toBe('Array<string>');
    expect(['V1Pod', 'CoreV1Event'].map(isModel)).toEqual([true, true]);
    expect(['Date', 'IntOrString', 'string', 'any', 'Array<V1Pod>'].map(isModel)).toEqual(Array(5).fill(false));
  });

  test('quantities are known as such', () => {
    expect(modelFields('V1ResourceRequirements').get('limits')!.type).toBe('{ [key: string]: Quantity; }');
    expect(modelFields('V1EmptyDirVolumeSource').get('sizeLimit')!.type).toBe('Quantity');
    expect(modelFields('V1EmptyDirVolumeSource').get('medium')!.type).toBe('string');
  });
});
