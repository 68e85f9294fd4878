// Prints the official schemas that the pinned conformance suite carries, as one JSON object with a
// member for each revision.
//
// No package of a registry has the files schema/<revision>/schema.json themselves. The suite has
// their content, as object literals in its bundle, and holds every server to them; reading them
// from there keeps this gate and the suite on one text. The bundle is pinned, so anything that is
// not where it was is an error and never a schema less.
import fs from 'node:fs';
import vm from 'node:vm';

const bundle = new URL(
  'node_modules/@modelcontextprotocol/conformance/dist/index.js',
  import.meta.url,
);
const text = fs.readFileSync(bundle, 'utf8');

// The suite's own table, like {"2025-03-26":Pe,"2025-06-18":Fe,"2025-11-25":Ie,[A]:Le}, where A
// holds the newest revision.
const table = /\{"2025-03-26":(\w+),"2025-06-18":(\w+),"2025-11-25":(\w+),\[(\w+)\]:(\w+)\}/;
const found = table.exec(text) ?? fail('the table of schemas');
const [, march, june, november, newest, newestSchema] = found;
if (!new RegExp(`[,\\s]${newest}=\`2026-07-28\``).test(text)) {
  fail('the newest revision');
}
const names = {
  '2025-03-26': march,
  '2025-06-18': june,
  '2025-11-25': november,
  '2026-07-28': newestSchema,
};
const schemas = Object.fromEntries(
  Object.entries(names).map(([revision, name]) => [revision, valueOf(name)]),
);
process.stdout.write(JSON.stringify(schemas));

// The value of a variable that is assigned an object literal.
function valueOf(name) {
  const assignment = new RegExp(`[\\s,]${name.replaceAll('$', '\\$')}=(?=\\{\\$schema:)`);
  const start = assignment.exec(text) ?? fail(`the schema ${name}`);
  const from = start.index + start[0].length;
  return vm.runInNewContext(`(${text.slice(from, endOfObject(from))})`);
}

// Where the object literal that starts at `from` ends. Braces within strings do not count.
function endOfObject(from) {
  let depth = 0;
  let quote = '';
  for (let at = from; at < text.length; at++) {
    const character = text[at];
    if (quote !== '') {
      if (character === '\\') {
        at++;
      } else if (character === quote) {
        quote = '';
      }
    } else if ('`"\''.includes(character)) {
      quote = character;
    } else if (character === '{') {
      depth++;
    } else if (character === '}' && --depth === 0) {
      return at + 1;
    }
  }
  return fail('the end of a schema');
}

function fail(what) {
  throw new Error(`${what} is not where it was in ${bundle.pathname}`);
}
