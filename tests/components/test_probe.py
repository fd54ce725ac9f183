def test_a(trained, mnist_arrays):
    print("HIST", trained.history['loss'])
