import { describe, expect, test } from 'vitest';
import { securityContextFor } from '../../src/agent/container-security.ts';
import type { Image } from '../../src/cri/index.ts';
import { podOf } from './support.ts';

function image(user: { uid?: number; username?: string }): Image {
  const uid = user.uid === undefined ? {} : { uid: { value: user.uid } };
  return { id: 'i', repoTags: [], repoDigests: [], size: 1, username: user.username ?? '', pinned: false, ...uid };
}

function contextOf(securityContext: Record<string, unknown>, user: { uid?: number; username?: string } | undefined) {
  const pod = podOf([{ name: 'app', image: 'app:1', securityContext }]);
  return securityContextFor(pod, pod.spec.containers[0]!, user && image(user));
}

describe('the user of a container', () => {
  test.each([
    [{}, {}, { runAsUser: { value: 0 } }],
    [{}, undefined, { runAsUser: { value: 0 } }],
    [{}, { uid: 7 }, { runAsUser: { value: 7 } }],
    [{}, { username: 'nobody' }, { runAsUsername: 'nobody' }],
    [{ runAsUser: 5 }, { username: 'nobody' }, { runAsUser: { value: 5 } }],
    [{ runAsUser: 0 }, { uid: 7 }, { runAsUser: { value: 0 } }],
    [{ runAsGroup: 9 }, { uid: 7 }, { runAsUser: { value: 7 }, runAsGroup: { value: 9 } }],
    [{ runAsNonRoot: true }, { uid: 7 }, { runAsUser: { value: 7 } }],
    [{ runAsNonRoot: true, runAsUser: 5 }, {}, { runAsUser: { value: 5 } }],
  ])('%j on an image with %j', (securityContext, user, expected) => {
    const { runAsUser, runAsGroup, runAsUsername } = contextOf(securityContext, user);
    expect({ runAsUser, runAsGroup, runAsUsername }).toEqual(expected);
  });

  test.each([
    [{ runAsUser: 0 }, {}, "container's runAsUser breaks non-root policy"],
    [{}, {}, 'container has runAsNonRoot and image will run as root'],
    [{}, { uid: 0 }, 'container has runAsNonRoot and image will run as root'],
    [
      {},
      { username: 'app' },
      'container has runAsNonRoot and image has non-numeric user (app), cannot verify user is non-root',
    ],
  ])('runAsNonRoot refuses %j on an image with %j', (securityContext, user, message) => {
    expect(() => contextOf({ ...securityContext, runAsNonRoot: true }, user)).toThrow(message);
  });
});

test('what is not privileged does not see what Docker hides', () => {
  const context = contextOf({}, {});
  expect(context.maskedPaths).toContain('/proc/kcore');
  expect(context.readonlyPaths).toContain('/proc/sys');
  expect(context).toMatchObject({ noNewPrivs: false, readonlyRootfs: false });
  expect(context).not.toHaveProperty('seccomp');
});
