/**
 * A worker that holds many streaming sessions in its memory.
 *
 * - `POST /open?count=N`: opens as many more.
 * - `POST /step`: float32 input of one step in; every open session takes it. Gives the last
 *   session's output, after requiring every other's to be the same.
 *
 * @module
 */
import { loadProgram, type Session } from "@splitgate/splitgate/runtime/state";
// @ts-ignore: data modules of the worker's configuration.
import streamingModel from "streaming.program";

const model = loadProgram(new Uint8Array(streamingModel));
const sessions: Session[] = [];

export default {
  async fetch(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const { pathname } = url;
    if (pathname === "/open") {
      for (let left = Number(url.searchParams.get("count")); left > 0; left--) {
        sessions.push(model.createSession());
      }
      return new Response(`${sessions.length}`);
    }
    if (pathname === "/step") {
      const input = new Float32Array(await request.arrayBuffer());
      const output = new Float32Array(model.outputSize);
      const first = new Float32Array(model.outputSize);
      for (const [i, session] of sessions.entries()) {
        session.step(input, output);
        if (i === 0) first.set(output);
        if (output.some((value, j) => value !== first[j])) {
          return new Response(`session ${i} differs`, { status: 500 });
        }
      }
      return new Response(output);
    }
    return new Response("");
  },
};
