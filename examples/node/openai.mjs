// Edits a picture by OpenAI's client for Node: npm install openai; node openai.mjs photo.png "make the car blue" out.png
import { createReadStream, writeFileSync } from "node:fs";
import OpenAI from "openai";

const [picture, prompt, out] = process.argv.slice(2);
const baseURL = process.env.OPENAI_BASE_URL ?? "http://127.0.0.1:8000/v1";
const client = new OpenAI({ baseURL, apiKey: process.env.OPENAI_API_KEY ?? "none" });

const stream = await client.images.edit({
  image: createReadStream(picture), prompt, model: "v4e", stream: true, partial_images: 2, seed: 3,
});
for await (const event of stream) {
  console.log(event.type);
  if (event.type === "image_edit.completed") writeFileSync(out, Buffer.from(event.b64_json, "base64"));
}
