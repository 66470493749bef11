// One client's way through the API.
exports.walk = async function walk(client) {
  const agent = await client.agents.create({ name: "Mia", model: "gpt-x", instructions: ["be short"], metadata: { team: "a" } });
  const user = await client.users.create({ name: "Ann" });
  const session = await client.sessions.create({ agent: agent.id, user: user.id, situation: "a test" });
  const answer = await client.sessions.chat(session.id, { messages: [{ role: "user", content: "hello from node" }] });
  const history = await client.sessions.history(session.id);
  const listed = await client.agents.list({ metadata_filter: { team: "a" } });
  const other = await client.agents.list({ metadata_filter: { team: "b" } });
  await client.agents.update(agent.id, { about: "changed" });
  const changed = await client.agents.get(agent.id);
  const missing = await client.agents.get("00000000-0000-7000-8000-000000000000").catch((error) => error.status);
  const deleted = await client.sessions.delete(session.id);
  console.log(
    JSON.stringify({
      text: answer.choices[0].message.content,
      history: history.entries.map((entry) => [entry.role, entry.content[0].text]),
      listed: listed.items.map((each) => each.id === agent.id),
      other: other.items.length,
      changed: [changed.about, changed.model],
      missing,
      deleted: deleted.id === session.id,
    }),
  );
};
