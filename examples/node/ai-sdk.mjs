// Edits a picture by the AI SDK: npm install ai @ai-sdk/openai; node ai-sdk.mjs photo.png "make the car blue" out.png
import { readFileSync, writeFileSync } from "node:fs";
import { createOpenAI } from "@ai-sdk/openai";
import { generateImage } from "ai";

const [picture, text, out] = process.argv.slice(2);
const baseURL = process.env.OPENAI_BASE_URL ?? "http://127.0.0.1:8000/v1";
const provider = createOpenAI({ baseURL, apiKey: process.env.OPENAI_API_KEY ?? "none" });

const { image } = await generateImage({ model: provider.image("v4e"), prompt: { text, images: [readFileSync(picture)] } });
writeFileSync(out, image.uint8Array);
