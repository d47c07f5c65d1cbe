// The request of an edit as a user would write it elsewhere.

const quote = (text) => `'${String(text).replaceAll("'", `'\\''`)}'`;

export function asCurl(base, fields, fileId, keyed) {
  const parts = [`curl ${base}/v1/images/edits`];
  if (keyed) parts.push(`-H "Authorization: Bearer $V4E_API_KEY"`);
  parts.push(fileId ? `-F file_id=${fileId}` : "-F image=@photo.png");
  if (fields.mask_from) parts.push("-F mask=@mask.png");
  for (const [name, value] of Object.entries(fields)) parts.push(`--form-string ${quote(`${name}=${value}`)}`);
  return parts.join(" \\\n  ");
}

export function asPython(base, fields, fileId) {
  const { prompt, ...rest } = fields;
  const extra = Object.entries(fileId ? { file_id: fileId, ...rest } : rest);
  const body = extra.map(([name, value]) => `${JSON.stringify(name)}: ${JSON.stringify(value)}`).join(", ");
  return `import base64, os
from openai import OpenAI

client = OpenAI(base_url="${base}/v1", api_key=os.environ.get("V4E_API_KEY", "none"))
answer = client.images.edit(
    image=${fileId ? "[]" : 'open("photo.png", "rb")'},
${fields.mask_from ? '    mask=open("mask.png", "rb"),\n' : ""}    prompt=${JSON.stringify(prompt)},
    extra_body={${body}},
)
open("edit.${fields.output_format ?? "png"}", "wb").write(base64.b64decode(answer.data[0].b64_json))
`;
}
