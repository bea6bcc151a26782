// Transcribes a WAV file of 24 kHz over OpenAI's realtime socket: prints the types of the events, the joined deltas and
// the text.
import fs from "node:fs";
import OpenAI from "openai";
import { OpenAIRealtimeWS } from "openai/realtime/ws";

const [url, path, key] = process.argv.slice(-3);
const client = new OpenAI({ baseURL: url + "/v1", apiKey: key });
const connection = new OpenAIRealtimeWS({ intent: "transcription" }, client);
const samples = fs.readFileSync(path).subarray(44);
const types = [];
let deltas = "";

connection.on("error", (error) => {
  console.error(error);
  process.exit(1);
});
connection.on("event", (event) => types.push(event.type));
connection.socket.on("open", () => {
  const transcription = { model: "whisper-1", language: "en" };
  const audio = { input: { transcription, turn_detection: null } };
  connection.send({ type: "session.update", session: { type: "transcription", audio } });
  for (let at = 0; at < samples.length; at += 4_800) {
    const part = samples.subarray(at, at + 4_800).toString("base64");
    connection.send({ type: "input_audio_buffer.append", audio: part });
  }
  connection.send({ type: "input_audio_buffer.commit" });
});
connection.on("conversation.item.input_audio_transcription.delta", (event) => (deltas += event.delta));
connection.on("conversation.item.input_audio_transcription.completed", (event) => {
  console.log(JSON.stringify({ types, deltas, text: event.transcript }));
  connection.close();
});
