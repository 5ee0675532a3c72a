/**
 * Containers: starts one from a root file system with runc, with crun, or with an embedded default that needs nothing
 * but util-linux, without root in a user namespace. It promises that what it says of a runtime was found out by running
 * a container, that the output of a container is in its log when it has ended, and that nothing stays after `cleanUp`.
 * It never pulls, mounts an image, makes a network (a container has the node's), or decides what runs.
 */
export { allCapabilities, type Capability, defaultCapabilities } from './capabilities.ts';
export type {
  ContainerExit,
  ContainerRuntime,
  ProcessSpec,
  RunningContainer,
  RuntimeChoice,
  RuntimeContainer,
  RuntimeMount,
  UserIds,
} from './container.ts';
export { defaultMaskedPaths, defaultReadonlyPaths } from './default-paths.ts';
export { type SelectedRuntime, selectRuntime } from './select-runtime.ts';
export { resolveUser } from './user.ts';
export {
  isInUserNamespace,
  reexecInUserNamespace,
  type UserNamespaceSupport,
  userNamespaceSupport,
} from './user-namespace.ts';
