/**
 * What scripts/build_npm.ts does around dnt, which is on JSR only: here modules come from
 * `deno pack` instead.
 */
import { assert, assertEquals } from "@std/assert";
import config from "../../../deno.json" with { type: "json" };
import { buildNpm, type Dnt } from "../../../scripts/build_npm.ts";
import { pack, packModules } from "../../../scripts/pack.ts";
import { succeed } from "../install.ts";

type Options = Parameters<Dnt["build"]>[0];

const readJson = async (path: string) => JSON.parse(await Deno.readTextFile(path));

Deno.test("the package that dnt builds has the entries, names and fields of the tarball", async () => {
  const root = await Deno.makeTempDir({ prefix: "splitgate-npm-" });
  try {
    let options: Options | undefined;
    const dnt: Dnt = {
      emptyDir: (path) => Deno.mkdir(path, { recursive: true }),
      async build(given) {
        options = given;
        await packModules(root);
        await Deno.rename(`${root}/package`, `${given.outDir}/esm`);
        // As dnt writes them.
        const manifest = { ...given.package, dependencies: { jsfive: "1" } };
        await Deno.writeTextFile(`${given.outDir}/package.json`, JSON.stringify(manifest));
        await Deno.writeTextFile(`${given.outDir}/esm/package.json`, '{ "type": "module" }');
        await given.postBuild();
      },
    };
    const built = `${root}/npm`;
    await buildNpm(dnt, built);
    await pack(`${root}/splitgate.tgz`);
    await succeed(root, "tar", "xzf", "splitgate.tgz");

    const [own, tarball] = [
      await readJson(`${built}/package.json`),
      await readJson(`${root}/package/package.json`),
    ];
    assertEquals(Object.keys(own.exports), Object.keys(tarball.exports));
    for (const key of ["name", "version", "license", "bin", "type", "sideEffects", "engines"]) {
      assertEquals(own[key], tarball[key], key);
    }
    assertEquals([own.dependencies, own.devDependencies], [undefined, undefined]);
    assertEquals(own.peerDependencies, tarball.peerDependencies);
    const targets = Object.values(own.exports as Record<string, string | Record<string, string>>)
      .flatMap((target) => typeof target === "string" ? [target] : Object.values(target));
    assert(targets.length > 50);
    for (const target of [...targets, own.bin.splitgate, "LICENSE", "THIRD_PARTY.md"]) {
      assert((await Deno.stat(`${built}/${target}`)).isFile, target);
    }
    // It would hide from bundlers that the package has no side effects.
    assert(![...Deno.readDirSync(`${built}/esm`)].some(({ name }) => name === "package.json"));

    const { compilerOptions, entryPoints, polyfills } = options!;
    const modules = Object.entries(config.exports).filter(([, path]) => path.endsWith(".ts"));
    assertEquals(entryPoints.map(({ name }) => name), modules.map(([name]) => name));
    for (const { path } of entryPoints) assert((await Deno.stat(path)).isFile, path);
    assertEquals([polyfills, compilerOptions.lib], [false, ["ES2022", "DOM"]]);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});
