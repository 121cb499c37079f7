// Transpiles each source file for itself (no type check, as upstream's own build), so that a migration or a module
// which an overlay lays into the tree at upstream's path is built and, for migrations, run like any other.
const { cpSync, existsSync, readdirSync, rmSync } = require('node:fs');
const path = require('node:path');
const esbuild = require('esbuild');

const sources = ['src', 'scripts'].flatMap((folder) =>
  readdirSync(path.join(__dirname, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts') && !entry.name.endsWith('.d.ts'))
    .map((entry) => path.join(entry.parentPath ?? entry.path, entry.name)),
);

const dist = path.join(__dirname, 'dist');
rmSync(dist, { recursive: true, force: true });
esbuild.buildSync({
  entryPoints: sources,
  outbase: __dirname,
  outdir: dist,
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  sourcemap: true,
  logLevel: 'warning',
  tsconfigRaw: { compilerOptions: { experimentalDecorators: true } },
});

// Beside the sources lies the front when it was built before (a native run); the image copies it in its own stage.
const front = path.join(__dirname, '..', 'twenty-front', 'build');
if (existsSync(front)) {
  cpSync(front, path.join(dist, 'front'), { recursive: true });
}
console.log(`twenty-server: ${sources.length} files -> dist`);
