// The README's first session, by a client with types generated from the OpenAPI document. Prints what came, as JSON.
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

type Schemas = components["schemas"];
type Event = Schemas["LiveEvent"];
declare const process: { argv: string[] };

const baseUrl = process.argv[2]!;
const api = createClient<paths>({ baseUrl });

function good<T>(answer: { data?: T; error?: Schemas["Problem"] | undefined }): T {
  if (answer.data === undefined) {
    const code: Schemas["Problem"]["code"] | undefined = answer.error?.code;
    throw new Error(`refused: ${code} ${answer.error?.detail}`);
  }
  return answer.data;
}

function happened(event: Event): string {
  switch (event.event) {
    case "post":
    case "gone": {
      const change: Schemas["FeedChange"] = JSON.parse(event.data);
      return `${event.event} ${change.post_id}`;
    }
    case "notification": {
      const news: Schemas["NotificationNews"] = JSON.parse(event.data);
      return `notification ${news.kind}`;
    }
    case "resync":
      return "resync";
    default:
      return event satisfies never; // another kind of the document would not compile
  }
}

async function* events(stream: ReadableStream<Uint8Array>): AsyncGenerator<Event> {
  let text = "";
  for await (const part of stream.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>)) {
    const blocks = (text + part).split("\n\n");
    text = blocks.pop()!;
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s, 2)));
      if (fields.event) yield fields as Event;
    }
  }
}

const password = "correct horse battery";
const ada = good(await api.POST("/api/v1/accounts", {
  params: {},
  body: { handle: "tess", email: "tess@example.com", password, display_name: "Tess" },
}));
const { token } = good(await api.POST("/api/v1/sessions", { params: {}, body: { login: "tess", password } }));
api.use({ onRequest: ({ request }) => request.headers.set("Authorization", `Bearer ${token}`) });

const newest = good(await api.GET("/api/v1/posts", { params: { query: { limit: 1 } } }));
const { handle } = newest.items[0]!.author;
await api.PUT("/api/v1/accounts/{handle}/follow", { params: { path: { handle } } });
const feed = good(await api.GET("/api/v1/feed", { params: { query: { limit: 2 } } }));

const ending = new AbortController();
const stream = await api.GET("/api/v1/feed/stream", { parseAs: "stream", signal: ending.signal });
const draft = { title: "Hello", body: "A first post.", tags: ["hello"] };
const made = good(await api.POST("/api/v1/posts", { params: {}, body: draft }));
const seen: string[] = [];
for await (const event of events(stream.data as ReadableStream<Uint8Array>)) {
  seen.push(happened(event));
  if (seen.at(-1) === `post ${made.post.id}`) break;
}
ending.abort();

const own = await api.GET("/api/v1/accounts/me");
const changed = good(await api.PATCH("/api/v1/accounts/me", {
  params: { header: { "If-Match": own.response.headers.get("ETag")! } },
  body: { bio: "Mathematics." },
}));
const refused = await api.PATCH("/api/v1/accounts/me", {
  params: { header: { "If-Match": own.response.headers.get("ETag")! } },
  body: { bio: "Too late." },
});
const pay = async () => good(await api.POST("/api/v1/wallet/deposits", {
  params: { header: { "Idempotency-Key": "first-deposit" } },
  body: { amount: { amount: 500000, currency: "EUR" } },
}));
const paid = [await pay(), await pay()];
const wallet = good(await api.GET("/api/v1/wallet"));

console.log(JSON.stringify({
  handle: ada.account.handle,
  feed: feed.items[0]?.author.handle === handle,
  event: seen.at(-1) === `post ${made.post.id}`,
  bio: changed.account.bio,
  refused: refused.error?.code,
  deposits: new Set(paid.map((one) => one.id)).size,
  available: wallet.items[0]?.available.amount,
}));
