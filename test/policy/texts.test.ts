import { describe, expect, test } from 'vitest';
import {
  backOffMessage,
  checkCrashLoop,
  classifyPullError,
  combinePullErrors,
  crashLoopBackOff,
  crashLoopDelays,
  decideRestart,
  goDuration,
  goQuote,
  type RestartFacts,
  validateContainerImage,
  validateImageVolume,
  validatePullPolicy,
} from '../../src/policy/index.ts';

test.each([
  ['app', '"app"'],
  ['a"b\\c', String.raw`"a\"b\\c"`],
  ['a\nb\tc\r\u0007\b\f\v', String.raw`"a\nb\tc\r\a\b\f\v"`],
  ['\u0000\u001f\u007f', String.raw`"\x00\x1f\x7f"`],
  ['ü→漢', '"ü→漢"'],
  ['\u00a0\u2028\ue000', String.raw`"\u00a0\u2028\ue000"`],
  ['\u{e0001}😀', '"\\U000e0001😀"'],
])('%j is quoted as Go does', (text, quoted) => {
  expect(goQuote(text)).toBe(quoted);
});

test.each([
  [0, '0s'],
  [0.9, '0s'],
  [250, '250ms'],
  [250.9, '250ms'],
  [999, '999ms'],
  [1000, '1s'],
  [1500, '1.5s'],
  [10_000, '10s'],
  [60_750, '1m0.75s'],
  [300_000, '5m0s'],
  [3_600_000, '1h0m0s'],
  [3_725_040, '1h2m5.04s'],
  [-1500, '-1.5s'],
])('%d ms is the duration %s', (ms, text) => {
  expect(goDuration(ms)).toBe(text);
});

describe('pull errors', () => {
  test('are told apart by their exact beginning', () => {
    expect(classifyPullError('app', 'RegistryUnavailable: no route')).toEqual({
      error: 'RegistryUnavailable',
      message: 'image pull failed for app because the registry is unavailable: no route',
    });
    expect(classifyPullError('app', 'SignatureValidationFailedhard').message).toBe(
      'image pull failed for app because the signature validation failedhard',
    );
    expect(classifyPullError('app', ' RegistryUnavailable')).toEqual({
      error: 'ErrImagePull',
      message: ' RegistryUnavailable',
    });
  });

  test('of several credentials become one text', () => {
    expect(combinePullErrors(['a'])).toBe('a');
    expect(combinePullErrors(['a', 'a'])).toBe('a');
    expect(combinePullErrors(['a', 'b', 'a'])).toBe('[a, b]');
  });

  test('are repeated while backing off', () => {
    expect(backOffMessage('app')).toBe('Back-off pulling image "app"');
    expect(backOffMessage('app', 'ErrImagePull: denied')).toBe('Back-off pulling image "app": ErrImagePull: denied');
  });
});

describe('validation', () => {
  test('speaks like the API', () => {
    expect(validatePullPolicy('Always')).toEqual([]);
    expect(validatePullPolicy('')).toEqual([{ type: 'Required', field: 'imagePullPolicy', text: 'Required value' }]);
    expect(validatePullPolicy('always')).toEqual([
      {
        type: 'NotSupported',
        field: 'imagePullPolicy',
        text: 'Unsupported value: "always": supported values: "Always", "IfNotPresent", "Never"',
      },
    ]);
    expect(validateContainerImage('app ')).toEqual([
      { type: 'Invalid', field: 'image', text: 'Invalid value: "app ": must not have leading or trailing whitespace' },
    ]);
    expect(validateContainerImage('')).toEqual([{ type: 'Required', field: 'image', text: 'Required value' }]);
    expect(validateContainerImage('Not A Name')).toEqual([]);
  });

  test('leaves the reference of an image volume to whoever uses a template', () => {
    const source = { reference: '', pullPolicy: 'Always' };
    expect(validateImageVolume({ ...source, insidePod: false })).toEqual([]);
    expect(validateImageVolume({ ...source, insidePod: true })).toMatchObject([{ field: 'image.reference' }]);
  });
});

describe('restarts', () => {
  const facts: RestartFacts = { podRestartPolicy: 'OnFailure', podDeleting: false };

  test('say why', () => {
    const text = (more: Partial<RestartFacts>) => decideRestart({ ...facts, ...more }).reason.text;
    expect(text({ podDeleting: true })).toBe('The pod is being deleted.');
    expect(text({ newest: { state: 'created', exitCode: 0 } })).toBe('The container is created.');
    expect(text({ newest: { state: 'exited', exitCode: 3 } })).toBe(
      'The container exited with code 3, and the restart policy of the pod is OnFailure.',
    );
    expect(text({ newest: { state: 'exited', exitCode: 3 }, containerRestartPolicy: 'Never' })).toBe(
      'The container exited with code 3, and the restart policy of the container is Never.',
    );
    expect(
      text({
        newest: { state: 'exited', exitCode: 3 },
        containerRestartPolicy: 'Never',
        restartRules: [{ action: 'Restart', operator: 'In', values: [3, 4] }],
      }),
    ).toBe('The container exited with code 3, and a rule of the container says Restart for exit codes In [3, 4].');
  });

  test('a rule that does not match leaves it to the container, then to the pod', () => {
    const exited = { state: 'exited', exitCode: 1 } as const;
    const restartRules = [{ action: 'Restart', operator: 'In', values: [42] }] as const;
    expect(decideRestart({ ...facts, newest: exited, containerRestartPolicy: 'Never', restartRules }).start).toBe(
      false,
    );
    expect(decideRestart({ ...facts, newest: exited, restartRules }).start).toBe(true);
  });
});

describe('crash loops', () => {
  const pod = { name: 'p', namespace: 'ns', uid: 'u' };
  const container = { name: 'c', image: 'app' };

  test('a container that ran for ten minutes starts over', () => {
    const backOff = crashLoopBackOff();
    const start = { pod, container };
    expect(checkCrashLoop(backOff, { ...start, lastExitMs: 0, atMs: 0 })).toBeUndefined();
    expect(checkCrashLoop(backOff, { ...start, lastExitMs: 1000, atMs: 1000 })?.retryAtMs).toBe(11_000);
    expect(checkCrashLoop(backOff, { ...start, lastExitMs: 1000, atMs: 11_000 })).toBeUndefined();
    expect(checkCrashLoop(backOff, { ...start, lastExitMs: 620_000, atMs: 620_000 })).toBeUndefined();
    expect(checkCrashLoop(backOff, { ...start, lastExitMs: 620_000, atMs: 620_001 })?.message).toMatch(
      /^back-off 10s /,
    );
  });

  test('another image or other resources start over, another pod too', () => {
    const backOff = crashLoopBackOff();
    const waits = (change: object, podChange: object = {}) =>
      checkCrashLoop(backOff, {
        pod: { ...pod, ...podChange },
        container: { ...container, ...change },
        lastExitMs: 0,
        atMs: 0,
      });
    expect(waits({})).toBeUndefined();
    expect(waits({})).toBeDefined();
    expect(waits({ image: 'app:2' })).toBeUndefined();
    expect(waits({ resources: { limits: { cpu: '1' } } })).toBeUndefined();
    expect(waits({}, { uid: 'other' })).toBeUndefined();
  });

  test('delays follow the configuration', () => {
    expect(crashLoopDelays()).toEqual({ initialMs: 10_000, maxMs: 300_000 });
    expect(crashLoopDelays({ reduceDefaultDecay: true })).toEqual({ initialMs: 1000, maxMs: 60_000 });
    expect(crashLoopDelays({ maxContainerRestartPeriodMs: 1000 })).toEqual({ initialMs: 1000, maxMs: 1000 });
  });
});

test('space at the ends of an image is what Go takes for space', () => {
  for (const image of [' app', 'app\u0085', '\u00a0app']) {
    expect(validateContainerImage(image), image).toMatchObject([{ type: 'Invalid', field: 'image' }]);
  }
  expect(validateContainerImage('\ufeffapp')).toEqual([]);
});
