/**
 * A server of files, for pages in a test.
 *
 * @module
 */

const TYPES: Readonly<Record<string, string>> = {
  html: "text/html",
  js: "text/javascript",
  css: "text/css",
  json: "application/json",
  wasm: "application/wasm",
};

/** Serves a folder's files at a port of its own, until it is stopped. */
export function serveFolder(folder: string): { readonly url: string; stop(): Promise<void> } {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async ({ url }) => {
      const path = decodeURIComponent(new URL(url).pathname).replace(/\/$/, "/index.html");
      try {
        const type = TYPES[path.replace(/^.*\./, "")] ?? "application/octet-stream";
        return new Response(await Deno.readFile(folder + path), {
          headers: { "content-type": type },
        });
      } catch {
        return new Response("not found", { status: 404 });
      }
    },
  );
  return { url: `http://127.0.0.1:${server.addr.port}`, stop: () => server.shutdown() };
}
