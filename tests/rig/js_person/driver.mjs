// The crypto of one person: matrix-js-sdk with its Rust crypto, driven by lines of JSON.
//
// One rule: it only encrypts and decrypts. What a person sees, and what is sent, is the Python
// side's (crypto_person.py); this process syncs for keys and members, never shows a room.
// In:  {"id": 1, "op": "encrypt", ...}     Out: {"id": 1, "result": ...} or {"id": 1, "error": "..."}
// Unasked: {"decrypted": {event_id, type, content}}: a key came late.
// It ends when its standard input does, so with its parent.

import { createInterface } from "node:readline";

for (const level of ["log", "debug", "info", "trace"]) console[level] = () => {};
const sdk = await import("matrix-js-sdk");
const { logger } = await import("matrix-js-sdk/lib/logger.js");
const { OnlySignedDevicesIsolationMode } = await import("matrix-js-sdk/lib/crypto-api/index.js");

const { decodeRecoveryKey } = await import("matrix-js-sdk/lib/crypto-api/recovery-key.js");

const silent = {};
for (const level of ["trace", "debug", "info", "warn", "error"]) silent[level] = () => {};
silent.getChild = () => silent;
logger.disableAll?.();

let client = null;
const seen = new Map(); // event id -> MatrixEvent, for late keys and for shields

const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");

function clearOf(event) {
  if (event.isDecryptionFailure() || !event.getClearContent()) {
    const why = event.decryptionFailureReason ?? "UNKNOWN";
    return { event_id: event.getId(), error: String(why) };
  }
  return { event_id: event.getId(), type: event.getType(), content: event.getClearContent() };
}

// Resolves when our own sync knows a room as encrypted, with all of `members` in it.
function roomWith(roomId, members) {
  return new Promise((resolve) => {
    const check = () => {
      const room = client.getRoom(roomId);
      const there = (id) => ["join", "invite"].includes(room.getMember(id)?.membership);
      if (!room?.hasEncryptionStateEvent() || !members.every(there)) return;
      client.off("sync", check);
      resolve(room);
    };
    client.on("sync", check);
    check();
  });
}

function storageOf({ url, user_id, token, key }) {
  return sdk.createClient({
    baseUrl: url, userId: user_id, accessToken: token, logger: silent,
    cryptoCallbacks: { getSecretStorageKey: async ({ keys }) => [Object.keys(keys)[0], key] },
  });
}

const ops = {
  async start({ url, user_id, device_id, token }) {
    client = sdk.createClient({
      baseUrl: url, userId: user_id, deviceId: device_id, accessToken: token, logger: silent,
    });
    await client.initRustCrypto({ useIndexedDB: false });
    const prepared = new Promise((resolve) => {
      const check = (state) => {
        if (state !== "PREPARED") return;
        client.off("sync", check);
        resolve();
      };
      client.on("sync", check);
    });
    await client.startClient({ initialSyncLimit: 1, disablePresence: true });
    await prepared;
    // Prepared is not published: who asks for our keys before that finds no device to encrypt for.
    for (;;) {
      const known = await client.downloadKeysForUsers([user_id]);
      if (known.device_keys?.[user_id]?.[device_id]) break;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return client.getCrypto().getVersion();
  },

  async encrypt({ room_id, members, type, content }) {
    const room = await roomWith(room_id, members);
    const event = new sdk.MatrixEvent({ type, content, room_id, sender: client.getUserId() });
    for (let left = 500; ; left--) {
      try {
        await client.getCrypto().encryptEvent(event, room);
        break;
      } catch (error) {
        // The room says "encrypted" a moment before its crypto is set up, and nothing tells when.
        if (left === 0 || !/unconfigured room/.test(String(error))) throw error;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    }
    return { type: event.getWireType(), content: event.getWireContent() };
  },

  async decrypt({ events }) {
    return Promise.all(events.map(async (raw) => {
      let event = seen.get(raw.event_id);
      if (!event) {
        event = new sdk.MatrixEvent(raw);
        seen.set(raw.event_id, event);
      }
      await client.decryptEventIfNeeded(event);
      if (event.isDecryptionFailure() && event.listenerCount("Event.decrypted") === 0) {
        event.on("Event.decrypted", () => {
          if (!event.isDecryptionFailure()) say({ decrypted: clearOf(event) });
        });
      }
      return clearOf(event);
    }));
  },

  async cross_sign({ password }) {
    const identifier = { type: "m.id.user", user: client.getUserId() };
    await client.getCrypto().bootstrapCrossSigning({
      authUploadDeviceSigningKeys: (request) =>
        request({ type: "m.login.password", identifier, password }),
    });
    return client.getCrypto().isCrossSigningReady();
  },

  // Secret storage of an account as another client sees it: the seed of a cross-signing key.
  async open_secret({ url, user_id, token, recovery_key, name }) {
    const other = storageOf({ url, user_id, token, key: decodeRecoveryKey(recovery_key) });
    return await other.secretStorage.get(name);
  },

  // What a person does who sets an account up in a client: identity and secret storage; the recovery key.
  async set_up_account({ url, user_id, device_id, token, password }) {
    let key = null;
    const other = sdk.createClient({
      baseUrl: url, userId: user_id, deviceId: device_id, accessToken: token, logger: silent,
      cryptoCallbacks: {
        getSecretStorageKey: async ({ keys }) => [Object.keys(keys)[0], key.privateKey],
      },
    });
    await other.initRustCrypto({ useIndexedDB: false });
    await other.startClient({ initialSyncLimit: 1 });
    key = await other.getCrypto().createRecoveryKeyFromPassphrase();
    const identifier = { type: "m.id.user", user: user_id };
    await other.getCrypto().bootstrapCrossSigning({
      authUploadDeviceSigningKeys: (request) =>
        request({ type: "m.login.password", identifier, password }),
    });
    await other.getCrypto().bootstrapSecretStorage({
      createSecretStorageKey: async () => key, setupNewSecretStorage: true,
    });
    other.stopClient();
    return key.encodedPrivateKey;
  },

  async only_signed_devices() {
    client.getCrypto().setDeviceIsolationMode(new OnlySignedDevicesIsolationMode());
    return null;
  },

  async forget_session({ room_id }) {
    await client.getCrypto().forceDiscardSession(room_id);
    return null;
  },

  async device({ user_id, device_id }) {
    const status = await client.getCrypto().getDeviceVerificationStatus(user_id, device_id);
    if (!status) return null;
    const { signedByOwner, crossSigningVerified, localVerified } = status;
    return { signed_by_owner: signedByOwner, cross_signed: crossSigningVerified, localVerified };
  },

  // Resolves when we know a device, and so will encrypt for it.
  async until_device({ user_id, device_id }) {
    const known = async () =>
      (await client.getCrypto().getUserDeviceInfo([user_id])).get(user_id)?.has(device_id);
    await new Promise(async (resolve) => {
      const check = async () => {
        if (!(await known())) return;
        client.off("crypto.devicesUpdated", check);
        resolve();
      };
      client.on("crypto.devicesUpdated", check);
      await check();
    });
    return null;
  },

  async shield({ event_id }) {
    const info = await client.getCrypto().getEncryptionInfoForEvent(seen.get(event_id));
    return info ? { colour: info.shieldColour, reason: info.shieldReason } : null;
  },
};

createInterface({ input: process.stdin })
  .on("line", async (line) => {
    const { id, op, ...args } = JSON.parse(line);
    try {
      say({ id, result: (await ops[op](args)) ?? null });
    } catch (error) {
      say({ id, error: String(error?.stack ?? error) });
    }
  })
  .on("close", () => process.exit(0));
