from resdet.cli.eval_coco import main

if __name__ == "__main__":
    main()
