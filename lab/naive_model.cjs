// The naive way to apply the data model, for the bench beside ours: one mutation for each field, over the metadata API, in the name
// of an administrator. Runs in the server's directory: node - TOKEN WORKSPACE <naive_model.cjs. Prints a report as migrate-schema.ts does.
const { runOnWorkspace } = require(`${process.cwd()}/dist/src/data-model/pure/apply`);
const { readDataModel } = require(`${process.cwd()}/dist/src/data-model/pure/data-model`);

const [token, workspaceId] = process.argv.slice(2);

const ask = async (query, variables = {}) => {
  const answer = await fetch(`http://127.0.0.1:${process.env.NODE_PORT || 3000}/metadata`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ query, variables }),
    signal: AbortSignal.timeout(120_000),
  });
  const text = await answer.text();
  const { data, errors } = answer.ok ? JSON.parse(text) : { errors: [{ message: `${answer.status} ${text.slice(0, 200)}` }] };
  if (errors) throw new Error(errors.map(({ message }) => message).join('; '));
  return data;
};

const READ = `query { objects(paging: { first: 1000 }) { edges { node {
  id nameSingular namePlural labelSingular labelPlural icon description isCustom isActive
  fieldsList { id name type label icon description isCustom isActive isUnique defaultValue options settings
    relation { type targetObjectMetadata { nameSingular } targetFieldMetadata { name } } }
} } } }`;
const relationOf = (relation) =>
  relation && {
    type: relation.type,
    targetObject: relation.targetObjectMetadata.nameSingular,
    targetField: relation.targetFieldMetadata.name,
  };
const mutate = (name, type, input) => ask(`mutation ($input: ${type}!) { ${name}(input: $input) { id } }`, { input });

const port = {
  read: async () =>
    (await ask(READ)).objects.edges.map(({ node: { fieldsList, ...object } }) => ({
      ...object,
      fields: fieldsList.map((field) => ({ ...field, isUnique: field.isUnique ?? false, relation: relationOf(field.relation) })),
    })),
  createObject: (object) => mutate('createOneObject', 'CreateOneObjectInput', { object: { ...object, isLabelSyncedWithName: false } }),
  createFields: async (fields) => {
    for (const { objectName: _, ...field } of fields) {
      await mutate('createOneField', 'CreateOneFieldMetadataInput', { field: { ...field, isLabelSyncedWithName: false } });
    }
  },
  updateObject: (id, update) => mutate('updateOneObject', 'UpdateOneObjectInput', { id, update }),
  updateField: (id, update) => mutate('updateOneField', 'UpdateOneFieldMetadataInput', { id, update }),
  notedFirstViews: async () => [],
  noteFirstViews: async () => undefined,
  writeFirstViews: async () => undefined,
};

const start = Date.now();
const say = (message) => process.stderr.write(`naive [${((Date.now() - start) / 1000).toFixed(1)} s] ${message}\n`);
process.on('exit', () => process.stderr.write(`peak ${process.resourceUsage().maxRSS} KiB\n`));
runOnWorkspace(port, readDataModel().model, workspaceId, 'apply', { onProgress: say }).then((report) => {
  process.stdout.write(JSON.stringify({ workspaces: [report] }));
  process.exitCode = report.status === 'matched' ? 0 : 3;
});
