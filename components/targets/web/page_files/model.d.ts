/** An input or output of the model. */
export interface Port {
  readonly name: string;
  readonly dtype: 'float32' | 'int32' | 'uint8';
  /** Lengths of its axes; the batch's is 1. */
  readonly shape: readonly number[];
  /** Real size of one step of a quantized tensor; 0 if it is not quantized. */
  readonly scale: number;
  /** The integer that stands for 0. */
  readonly zero_point: number;
}

/** A model that is loaded in this page. */
export interface Model {
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  /**
   * Predicts one example.
   * @param features Input → its real values, row by row.
   * @returns Output → its real values, row by row.
   */
  predict(features: Record<string, ArrayLike<number>>): Promise<Record<string, Float32Array | Int32Array | Uint8Array>>;
  /** Frees the model's memory. */
  close(): void;
}

/** Loads the runtime and the model, both from the folder of this module. */
export function load(): Promise<Model>;
