// @ts-check
// A page that only shows: times and numbers in the browser's locale.
import { localise } from "./page.js";

localise();
