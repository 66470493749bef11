// Goes through the official Node SDK, loaded by require; prints what it saw as JSON.
const { Julep } = require("@julep/sdk");
const { walk } = require("./walk.cjs");

walk(new Julep({ apiKey: process.env.SMOKE_KEY, baseURL: process.env.SMOKE_URL, maxRetries: 0 }));
