// What survives a reload, in the browser's own database: edits with their pictures, and the job under way.
// Where there is none, as in some private windows, nothing does.

const database = new Promise((done) => {
  const opening = indexedDB.open(`v4e ${location.pathname}`, 1);
  opening.onupgradeneeded = () => {
    opening.result.createObjectStore("edits", { keyPath: "number", autoIncrement: true });
    opening.result.createObjectStore("job");
  };
  opening.onsuccess = () => done(opening.result);
  opening.onerror = () => done(null);
});

/** What `act` asks of a store, once it is done; undefined where that fails, e.g. on a full disk. */
async function within(store, act) {
  const base = await database;
  if (!base) return undefined;
  return new Promise((done) => {
    const work = base.transaction(store, "readwrite"), asked = act(work.objectStore(store));
    work.oncomplete = () => done(asked?.result);
    work.onabort = work.onerror = () => done(undefined);
  });
}

/** Keeps an edit, and returns its number. */
export const keep = (edit) => within("edits", (edits) => edits.add(edit));
export const forget = (number) => within("edits", (edits) => edits.delete(number));
export const forgetAll = () => within("edits", (edits) => edits.clear());
export const edits = async () => (await within("edits", (all) => all.getAll())) ?? [];

export const keepJob = (job) => within("job", (jobs) => jobs.put(job, 0));
export const forgetJob = () => within("job", (jobs) => jobs.clear());
export const job = () => within("job", (jobs) => jobs.get(0));
