/**
 * The HTTP API of a running node: what the pods of one process do, and what can be asked of them, over a unix socket
 * that only its owner may use. It promises that other processes on the machine find it by the node's root, and that
 * what a killed process left is passed over. It never decides anything: the agent does.
 */
export { type ApiPod, type ApiPodContainer, type RetriedPod, RunningPods } from './client.ts';
export { type NodeApi, serveNodeApi } from './server.ts';
export { makeSocketFolder } from './socket.ts';
export { socketFolder, socketFolderVariable } from './socket-folder.ts';
