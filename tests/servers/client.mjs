// A client by others: node client.mjs PACKAGE PLAN. Reads a plan as JSON, prints what it saw as one line of JSON.
// The plan: {"mode": "auto" | "legacy" | "2026-07-28", "url": …, "token": …} or {"command": …, "args": […]},
// and "calls": [[name, arguments], …].
import { pathToFileURL } from 'node:url';

const [folder, plan] = [process.argv[2], JSON.parse(process.argv[3])];
const { Client, StreamableHTTPClientTransport } = await import(pathToFileURL(`${folder}/dist/index.mjs`).href);
const { StdioClientTransport } = await import(pathToFileURL(`${folder}/dist/stdio.mjs`).href);

const headers = plan.token ? { Authorization: `Bearer ${plan.token}` } : {};
const transport = plan.url
  ? new StreamableHTTPClientTransport(new URL(plan.url), { requestInit: { headers } })
  : new StdioClientTransport({ command: plan.command, args: plan.args, stderr: 'ignore' });
const mode = plan.mode.startsWith('20') ? { pin: plan.mode } : plan.mode;
const client = new Client({ name: 'node', version: '1' }, { versionNegotiation: { mode } });
await client.connect(transport);

const { tools } = await client.listTools();
const results = [];
for (const [name, given] of plan.calls) {
  const progress = [];
  const onprogress = (step) => progress.push([step.progress, step.total ?? null, step.message ?? null]);
  try {
    const result = await client.callTool({ name, arguments: given }, { onprogress });
    results.push({ text: result.content.map((block) => block.text ?? block.type).join(''), isError: !!result.isError, progress });
  } catch (error) {
    results.push({ error: String(error.message ?? error) });
  }
}
const server = client.getServerVersion();
const seen = { protocol: client.getNegotiatedProtocolVersion(), server: server?.name, tools: tools.map((tool) => tool.name), results };
await client.close();
console.log(JSON.stringify(seen));
