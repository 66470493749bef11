// Goes through the official Node SDK, loaded by import; prints what it saw as JSON.
import Julep from "@julep/sdk";
import { walk } from "./walk.cjs";

walk(new Julep({ apiKey: process.env.SMOKE_KEY, baseURL: process.env.SMOKE_URL, maxRetries: 0 }));
