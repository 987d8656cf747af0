/**
 * The peers' own packages, which the package itself does not need.
 *
 * @module
 */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** Where the peers and what they need stand. */
export const HERE: string = fileURLToPath(new URL(".", import.meta.url));

/** Runs a command to its end; whether it could be run and succeeded. */
export async function succeeds(command: readonly string[], inherit = false): Promise<boolean> {
  const stream = inherit ? "inherit" : "null";
  try {
    const child = new Deno.Command(command[0]!, {
      args: command.slice(1),
      cwd: HERE,
      stdin: "null",
      stdout: stream,
      stderr: stream,
    });
    return (await child.output()).success;
  } catch {
    return false;
  }
}

function installedVersion(name: string): string | null {
  try {
    return JSON.parse(Deno.readTextFileSync(join(HERE, "node_modules", name, "package.json")))
      .version;
  } catch {
    return null;
  }
}

/** The Python of the peers that PyPI has. */
export const PYTHON: string = join(HERE, "node_modules", ".cache", "python", "bin", "python");

/** Whether that Python is there, with what is asked for. */
export async function hasPythonPeers(): Promise<boolean> {
  const check = "import sys, importlib.metadata as m\n" +
    "for line in open('requirements.txt'):\n" +
    "    name, version = line.split('==')\n" +
    "    assert m.version(name) == version.strip()";
  return await succeeds([PYTHON, "-c", check]);
}

/** Installs the peers in Python; whether it could. A Python with its venv module makes theirs. */
export async function installPythonPeers(): Promise<boolean> {
  if (await hasPythonPeers()) return true;
  const folder = dirname(dirname(PYTHON));
  console.error("Installing the peers in Python into bench/peers/node_modules/.cache/python");
  return await succeeds(["python3", "-m", "venv", folder], true) &&
    await succeeds([PYTHON, "-m", "pip", "install", "--quiet", "-r", "requirements.txt"], true) &&
    await hasPythonPeers();
}

/** Installs the peers unless every one is there in the version asked for. */
export async function installPeers(): Promise<void> {
  const { dependencies } = JSON.parse(Deno.readTextFileSync(join(HERE, "package.json")));
  if (Object.entries(dependencies).every(([name, version]) => installedVersion(name) === version)) {
    return;
  }
  console.error("Installing the peers into bench/peers/node_modules");
  if (!await succeeds(["npm", "ci", "--ignore-scripts"], true)) {
    throw new Error("npm ci failed in bench/peers");
  }
}
