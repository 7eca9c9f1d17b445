// Brings a picture and its label to the screen; the next one's picture is fetched ahead.

import { getImage, getMask, getPicture } from './api.js';
import { decode } from './canvas/codec.js';
import { emptyLabel } from './canvas/raster.js';

const MOST_PIXELS = 24e6; // a larger picture is shown smaller; its label keeps its size
const KEPT = 3;

const images = new Map();

async function loadImage({ name, width, height }) {
  const blob = await getImage(name);
  const shrink = Math.sqrt(MOST_PIXELS / Math.max(1, width * height));
  if (shrink >= 1) return createImageBitmap(blob);
  return createImageBitmap(blob, {
    resizeWidth: Math.round(width * shrink), resizeHeight: Math.round(height * shrink),
    resizeQuality: 'medium',
  });
}

// The picture's pixels, upright.
export function imageOf(picture) {
  const key = JSON.stringify([picture.name, picture.file]); // a file may be another one by now
  const loading = images.get(key) ?? loadImage(picture);
  images.delete(key);
  images.set(key, loading); // the latest is last
  loading.catch(() => images.delete(key));
  for (const old of [...images.keys()].slice(0, -KEPT)) images.delete(old);
  return loading;
}

// The same, or null for a picture that is known to be broken or gone.
export async function imageIfAny(picture) {
  if (!picture.width) return null;
  try {
    return await imageOf(picture);
  } catch (error) {
    if (picture.problem && error.status !== 0) return null;
    throw error;
  }
}

// {picture, label, revision, mark}: what the server has of a picture now. `mark` tells its label
// from others.
export async function readPicture(name) {
  const [picture, mask] = await Promise.all([getPicture(name), getMask(name)]);
  const revision = mask.revision ?? picture.revision;
  const { label, mark } = mask.bytes ? await decode(mask.bytes) : { label: null, mark: null };
  const fits = label && label.width === picture.width && label.height === picture.height;
  return {
    picture, revision, mark, label: fits ? label : emptyLabel(picture.width, picture.height),
  };
}
