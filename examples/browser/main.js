// No build step: the import map of index.html says where the package is.
import { loadProgram } from "@splitgate/splitgate/runtime.js";

const CLASSES = ["standing", "walking", "shaking"];
const answer = document.querySelector("#answer");
const shake = document.querySelector("#shake");
const start = document.querySelector("#start");

async function load() {
  const response = await fetch("motion.bin");
  if (!response.ok) throw new Error(`motion.bin: ${response.status}; make it by npm run build`);
  return loadProgram(await response.arrayBuffer());
}

try {
  const session = (await load()).createSession();
  const input = new Float32Array(3), output = new Float32Array(CLASSES.length);
  const take = (x, y, z) => {
    input.set([x, y, z]);
    session.step(input, output);
    answer.textContent = CLASSES[output.indexOf(Math.max(...output))];
  };
  let simulated = setInterval(() => {
    take(shake.value * Math.sin(performance.now() / 1000 * 2 * Math.PI * 5), 0, 1);
  }, 20);
  start.disabled = !("DeviceMotionEvent" in window);
  start.addEventListener("click", async () => {
    const granted = await DeviceMotionEvent.requestPermission?.() ?? "granted";
    if (granted !== "granted") return answer.textContent = "The sensor was not allowed.";
    clearInterval(simulated);
    addEventListener(
      "devicemotion",
      ({ accelerationIncludingGravity: a }) => take(a.x / 9.81, a.y / 9.81, a.z / 9.81),
    );
  });
} catch (error) {
  answer.textContent = error.message;
}
