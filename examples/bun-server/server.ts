// A WebSocket a sensor: each message is float32 readings, x y z x y z ..., each answer what the motion is at their end.
import { loadProgram, type Session } from "@splitgate/splitgate/runtime";
import { simdKernels } from "@splitgate/splitgate/simd";

const CLASSES = ["standing", "walking", "shaking"];

const model = loadProgram(await Bun.file(new URL("motion.bin", import.meta.url)).bytes());
const kernels = await simdKernels();

const server = Bun.serve<{ session: Session }>({
  port: Number(process.argv[2] ?? 8001),
  fetch(request, server) {
    // A session a connection: it keeps the state while the connection lives.
    const session = model.createSession({ kernels, maxSteps: 64 });
    if (server.upgrade(request, { data: { session } })) return;
    return new Response("connect by WebSocket", { status: 426 });
  },
  websocket: {
    message(socket, message) {
      try {
        if (typeof message === "string") throw new TypeError("expected float32 readings, got text");
        const input = new Float32Array(
          message.buffer.slice(message.byteOffset, message.byteOffset + message.byteLength),
        );
        const output = new Float32Array(input.length);
        socket.data.session.run(input, output);
        const scores = [...output.subarray(-CLASSES.length)];
        socket.send(JSON.stringify({ motion: CLASSES[scores.indexOf(Math.max(...scores))] }));
      } catch (error) {
        // The session is as it was before the message.
        socket.send(JSON.stringify({ error: (error as Error).message }));
      }
    },
  },
});
console.log(`listening at ${server.url}`);
