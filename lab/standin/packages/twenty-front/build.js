// One bundle with a hash in its name, and the page that loads it.
const { mkdirSync, readFileSync, rmSync, writeFileSync } = require('node:fs');
const path = require('node:path');
const esbuild = require('esbuild');

const out = path.join(__dirname, 'build');
rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });

const { metafile } = esbuild.buildSync({
  entryPoints: { index: path.join(__dirname, 'src', 'index.ts') },
  absWorkingDir: __dirname,
  outdir: path.join(out, 'assets'),
  entryNames: '[name]-[hash]',
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2020',
  metafile: true,
  logLevel: 'warning',
  // The address of the build is a fall-back only: at run time the server writes its own into the page.
  define: { 'process.env.REACT_APP_SERVER_BASE_URL': JSON.stringify(process.env.REACT_APP_SERVER_BASE_URL ?? '') },
});

const built = (ending) => path.posix.relative('build', Object.keys(metafile.outputs).find((file) => file.endsWith(ending)));
const page = readFileSync(path.join(__dirname, 'index.html'), 'utf8')
  .replace('%SCRIPT%', built('.js'))
  .replace('%STYLE%', built('.css'));
writeFileSync(path.join(out, 'index.html'), page);
console.log(`twenty-front: ${Object.keys(metafile.outputs).join(', ')}`);
