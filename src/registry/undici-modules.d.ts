/** undici has types for all of it together only. */
declare module 'undici/lib/*' {
  const exported: unknown;
  export default exported;
}
