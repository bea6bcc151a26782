// openai-node in a page: transcribes the file of its own server with another server, and posts the answers back.
import OpenAI, { APIError, toFile } from "openai";

const parameters = new URLSearchParams(location.search);
const client = new OpenAI({
  baseURL: `${parameters.get("url")}/v1`,
  apiKey: parameters.get("key"),
  dangerouslyAllowBrowser: true,
  maxRetries: 0,
});
const audio = await (await fetch("/sample.wav")).blob();
const create = async (options) =>
  client.audio.transcriptions.create({ model: "whisper-1", file: await toFile(audio, "sample.wav"), ...options });

/** The error of a refused request; a response that the page may not read is no APIError with a status. */
const refusal = async () => {
  try {
    return await create({ model: "no-such-model" });
  } catch (error) {
    if (!(error instanceof APIError)) throw error;
    return { status: error.status, code: error.code, requestId: error.requestID };
  }
};

const answers = async () => {
  const json = await create({});
  const verbose = await create({ response_format: "verbose_json", timestamp_granularities: ["word"] });
  const events = [];
  for await (const event of await create({ model: "gpt-4o-transcribe", stream: true })) events.push(event);
  return { origin: location.origin, agent: navigator.userAgent, json, requestId: json._request_id, verbose, events,
           refusal: await refusal() };
};

const result = await answers().catch((error) => ({ error: `${error}: ${error.cause ?? ""}` }));
await fetch("/result", { method: "POST", body: JSON.stringify(result) });
