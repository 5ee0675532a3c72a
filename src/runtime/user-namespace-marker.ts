/** Set in the environment of the program inside a user namespace; its value is the pid of the one outside. */
export const userNamespaceMarker = 'LADING_USER_NAMESPACE';
